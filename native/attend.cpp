// Attention: keys and values into a sequence, and what each query gathers of them, a range at a time.
#include "plan.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>

namespace pellucid {

void Plan::make_room_for_attention(const Batch& batch) {
    items_.clear();
    const auto attends = std::find_if(ops_.begin(), ops_.end(), [](const Op& op) { return op.kind == Kind::attend; });
    if (attends == ops_.end()) return;
    const int group = attends->heads / layout_.kv_heads;
    for (const Span& span : batch.spans)
        for (int head = 0; head < layout_.kv_heads; head++)
            for (int first = 0; first < span.rows * group; first += kQueries) {
                const int count = std::min(kQueries, span.rows * group - first);
                const std::int64_t* at = batch.positions + span.row;
                items_.push_back({&span, head, first, count, static_cast<int>(at[first / group]),
                                  static_cast<int>(at[(first + count - 1) / group]) + 1});
            }
    std::size_t kept = 0;
    for (Attending& a : attending_) kept = std::max(kept, cut_keys(a));
    if (kept_.size() < kept) {
        kept_.resize(kept);
        kept_mixed_.resize(kept * layout_.padded_dim);
        for (std::size_t i = 0; i < kept; i++) kept_[i].mixed = kept_mixed_.data() + i * layout_.padded_dim;
    }
    if (arrived_.size() < items_.size()) arrived_ = std::vector<std::atomic<int>>(items_.size());
}

// Many threads can share few sequences' few heads only if these are cut. Many rows are items enough; what
// their parts gather would be much to keep. -> how many queries' gatherings are kept.
std::size_t Plan::cut_keys(Attending& into) const {
    std::size_t bytes = 0, kept = 0;
    into.parts.clear();
    for (int i = 0; i < static_cast<int>(items_.size()); i++) {
        const Item& item = items_[i];
        const int from = into.window ? std::max(0, item.position + 1 - into.window) : 0;
        const int first = from / kRange, last = (item.stop + kRange - 1) / kRange;
        const int parts = item.span->rows <= kFewRows ? last - first : 1, ranges = (last - first) / parts;
        for (int p = 0; p < parts; p++)
            into.parts.push_back({i, first + p * ranges, first + (p + 1) * ranges, p, parts, kept});
        if (parts > 1) kept += static_cast<std::size_t>(parts) * item.count;
        bytes += static_cast<std::size_t>(item.stop - from) * (layout_.head() / kPage);
    }
    into.bytes = into.parts.empty() ? 0 : bytes / into.parts.size();
    return kept;
}

const Plan::Attending& Plan::attending(const Op& op) const {
    return *std::find_if(attending_.begin(), attending_.end(), [&](const Attending& a) { return a.window == op.window; });
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

// Gathers a part of an item's keys, range by range. The ranges are joined in their order, whoever gathered them:
// by the one who comes last, where there are several parts.
void Plan::attend(const Op& op, const Batch& batch, const Part& part) {
    const Layout& l = layout_;
    const Item& item = items_[part.item];
    const int group = op.heads / l.kv_heads;
    const Attention a{l.full, l.head_dim, l.padded_dim, op.number, op.softcap};
    alignas(64) float now_mixed[kQueries][kMaxHead], all_mixed[kQueries][kMaxHead];
    Gathered now[kQueries], all[kQueries];
    const float* q[kQueries];
    float* out[kQueries];
    int from[kQueries], to[kQueries];                   // visible positions of each query
    for (int i = 0; i < item.count; i++) {
        int r = item.span->row + (item.first + i) / group;
        int head = item.head * group + (item.first + i) % group;
        q[i] = row(op.a, r) + head * l.head_dim;
        out[i] = row(op.out, r) + head * l.head_dim;
        to[i] = static_cast<int>(batch.positions[r]) + 1;
        from[i] = op.window ? std::max(0, to[i] - op.window) : 0;
        now[i].mixed = now_mixed[i];
        all[i] = {-std::numeric_limits<float>::infinity(), 0, all_mixed[i]};
        std::fill_n(all_mixed[i], l.padded_dim, 0.0f);
    }
    const auto gather = [&](int range, Gathered* into) {
        const int start = range * kRange, last = std::min(start + kRange, item.stop);
        Keys pages[kRange / kPage];
        for (int at = std::max(start, from[0] / kPage * kPage); at < last; at += kPage)
            pages[(at - start) / kPage] = item.span->sequence->read(at / kPage, op.layer, item.head, at + kPage >= item.stop);
        int low[kQueries], high[kQueries];
        for (int i = 0; i < item.count; i++) {
            low[i] = std::clamp(from[i] - start, 0, kRange);
            high[i] = std::clamp(to[i] - start, 0, kRange);
        }
        kernels_->attend(a, pages, item.count, q, low, high, into);
    };
    const auto join = [&](const Gathered* next) {
        for (int i = 0; i < item.count; i++) kernels_->join(all[i], next[i], l.padded_dim);
    };
    if (part.of == 1)
        for (int range = part.first; range < part.last; range++) {
            gather(range, now);
            join(now);
        }
    else {
        Gathered* kept = kept_.data() + part.kept;
        gather(part.first, kept + part.index * item.count);
        if (arrived_[part.item].fetch_add(1, std::memory_order_acq_rel) + 1 < part.of) return;
        arrived_[part.item].store(0, std::memory_order_relaxed);
        for (int p = 0; p < part.of; p++) join(kept + p * item.count);
    }
    for (int i = 0; i < item.count; i++) kernels_->scale(all_mixed[i], 1.0f / all[i].sum, l.head_dim, out[i]);
}

}  // namespace pellucid
