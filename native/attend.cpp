// Attention: keys and values into a sequence, and what each query gathers of them, a range at a time.
#include "plan.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <numeric>

namespace pellucid {

void Plan::make_room_for_attention(const Batch& batch) {
    items_.clear();
    item_bytes_ = 0;
    const int group = ops_.empty() ? 1 : std::accumulate(ops_.begin(), ops_.end(), 1, [](int g, const Op& op) {
        return op.kind == Kind::attend ? op.heads : g;
    }) / std::max(layout_.kv_heads, 1);
    for (const Span& span : batch.spans)
        for (int head = 0; head < layout_.kv_heads; head++)
            for (int first = 0; first < span.rows * group; first += kQueries) {
                items_.push_back({&span, head, first, std::min(kQueries, span.rows * group - first)});
                const std::int64_t seen = batch.positions[span.row + first / group] + 1;
                item_bytes_ += static_cast<std::size_t>(seen) * (layout_.head() / kPage);
            }
    if (!items_.empty()) item_bytes_ /= items_.size();
}

void Plan::store(const Op& op, const Batch& batch, int first, int last) {
    const Layout& l = layout_;
    std::uint16_t key[kMaxHead], value[kMaxHead] = {};      // the padding stays zero
    float full[kMaxHead] = {};
    for (const Span& span : batch.spans)
        for (int r = std::max(first, span.row); r < std::min(last, span.row + span.rows); r++)
            for (int h = 0; h < l.kv_heads; h++) {
                const float *k = row(op.a, r) + h * l.head_dim, *v = row(op.b, r) + h * l.head_dim;
                const int position = static_cast<int>(batch.positions[r]);
                if (l.full) {
                    std::copy_n(v, l.head_dim, full);
                    span.sequence->write(op.layer, h, position, k, full);
                    continue;
                }
                bool fits = kernels_->to_half(k, l.head_dim, key);
                fits &= kernels_->to_half(v, l.head_dim, value);
                if (!fits) beyond_half_ = true;
                span.sequence->write(op.layer, h, position, key, value);
            }
}

void Plan::attend_item(const Op& op, const Batch& batch, const Item& item) {
    const Layout& l = layout_;
    const int group = op.heads / l.kv_heads;
    const Attention a{l.full, l.head_dim, l.padded_dim, op.number, op.softcap};
    alignas(64) float now_mixed[kQueries][kMaxHead], all_mixed[kQueries][kMaxHead];
    Gathered now[kQueries], all[kQueries];
    const float* q[kQueries];
    float* out[kQueries];
    int from[kQueries], to[kQueries];                   // visible positions of each query
    int first = std::numeric_limits<int>::max(), last = 0;
    for (int i = 0; i < item.count; i++) {
        int r = item.span->row + (item.first + i) / group;
        int head = item.head * group + (item.first + i) % group;
        q[i] = row(op.a, r) + head * l.head_dim;
        out[i] = row(op.out, r) + head * l.head_dim;
        to[i] = static_cast<int>(batch.positions[r]) + 1;
        from[i] = op.window ? std::max(0, to[i] - op.window) : 0;
        first = std::min(first, from[i]);
        last = std::max(last, to[i]);
        all[i] = {-std::numeric_limits<float>::infinity(), 0, all_mixed[i]};
        std::fill_n(all_mixed[i], l.padded_dim, 0.0f);
    }
    for (int range = first / kRange * kRange; range < last; range += kRange) {
        Keys pages[kRange / kPage];
        for (int at = std::max(range, first / kPage * kPage); at < std::min(last, range + kRange); at += kPage)
            pages[(at - range) / kPage] = item.span->sequence->read(at / kPage, op.layer, item.head, at + kPage >= last);
        int low[kQueries], high[kQueries];
        for (int i = 0; i < item.count; i++) {
            low[i] = std::clamp(from[i] - range, 0, kRange);
            high[i] = std::clamp(to[i] - range, 0, kRange);
            now[i].mixed = now_mixed[i];
        }
        kernels_->attend(a, pages, item.count, q, low, high, now);
        for (int i = 0; i < item.count; i++) kernels_->join(all[i], now[i], l.padded_dim);
    }
    for (int i = 0; i < item.count; i++) kernels_->scale(all_mixed[i], 1.0f / all[i].sum, l.head_dim, out[i]);
}

}  // namespace pellucid
