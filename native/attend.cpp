// Attention: keys and values into a sequence, and what each query gathers of them, a range at a time.
#include "plan.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>

namespace pellucid {
namespace {

// The first key that the query before `to` sees.
int first_seen(int to, int window) { return window ? std::max(0, to - window) : 0; }

}  // namespace

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
    for (auto& [window, attending] : attending_) kept = std::max(kept, cut_keys(attending, window, batch.rows <= kFewRows));
    kept_.resize(std::max(kept_.size(), kept));
    kept_mixed_.resize(std::max(kept_mixed_.size(), kept * layout_.padded_dim));
    arrived_ = std::vector<std::atomic<int>>(items_.size());    // anew: a pass may have been left half done by a fork
}

// A pass of few rows may have fewer items than there are threads: it is cut at each range of keys. Many rows are
// items enough, and what their ranges gather would be much to keep. -> how many queries' gatherings are kept.
std::size_t Plan::cut_keys(Attending& into, int window, bool few) const {
    std::size_t bytes = 0, kept = 0;
    into.stretches.clear();
    for (int i = 0; i < static_cast<int>(items_.size()); i++) {
        const Item& item = items_[i];
        const int from = first_seen(item.position + 1, window);
        const int first = from / kRange, ranges = (item.stop + kRange - 1) / kRange - first, step = few ? 1 : ranges;
        for (int r = 0; r < ranges; r += step)
            into.stretches.push_back({i, first + r, first + r + step, r, ranges / step, kept});
        if (step < ranges) kept += static_cast<std::size_t>(ranges) * item.count;
        bytes += static_cast<std::size_t>(item.stop - from) * (layout_.head() / kPage) * work_of(item.count);
    }
    into.bytes = into.stretches.empty() ? 0 : bytes / into.stretches.size();
    return kept;
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

// Gathers a stretch of an item's keys, range by range. The ranges are joined in their order, whoever gathered them:
// by the one who comes last, where there are several stretches.
void Plan::attend(const Op& op, const Batch& batch, const Stretch& stretch) {
    const Layout& l = layout_;
    const Item& item = items_[stretch.item];
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
        from[i] = first_seen(to[i], op.window);
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
    if (stretch.of == 1)
        for (int range = stretch.first; range < stretch.last; range++) {
            gather(range, now);
            join(now);
        }
    else {
        const auto keep = [&](int index) {      // where that stretch's queries have their place
            const std::size_t at = stretch.kept + static_cast<std::size_t>(index) * item.count;
            for (int i = 0; i < item.count; i++) kept_[at + i].mixed = kept_mixed_.data() + (at + i) * l.padded_dim;
            return kept_.data() + at;
        };
        gather(stretch.first, keep(stretch.index));
        if (arrived_[stretch.item].fetch_add(1, std::memory_order_acq_rel) + 1 < stretch.of) return;
        arrived_[stretch.item].store(0, std::memory_order_relaxed);
        for (int index = 0; index < stretch.of; index++) join(keep(index));
    }
    for (int i = 0; i < item.count; i++) kernels_->scale(all_mixed[i], 1.0f / all[i].sum, l.head_dim, out[i]);
}

}  // namespace pellucid
