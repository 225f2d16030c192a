#include "plan.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <stdexcept>

namespace pellucid {
namespace {

constexpr int kQueries = 4;             // that a kernel takes at once
constexpr int kRange = 4 * kPage;       // keys that are gathered before they are joined to the rest

// How an operation's work is shared out between threads.
enum class Share { rows, whole };

Share share(Kind kind) {
    switch (kind) {
        case Kind::linear:
        case Kind::attend:
        case Kind::take:
        case Kind::experts: return Share::whole;
        default: return Share::rows;
    }
}

// Thread `t`'s share of `n`. One row goes to the first thread, whose times are measured.
std::pair<int, int> part(int n, int t, int threads) {
    auto start = [=](int of) {
        return static_cast<int>((static_cast<std::int64_t>(n) * of + threads - 1) / threads);
    };
    return {start(t), start(t + 1)};
}

}  // namespace

const char* kind_name(Kind kind) {
    static const char* const names[] = {"embed", "position", "linear", "norm", "turns", "rotate",
                                        "store", "attend", "activate", "add", "multiply", "scale",
                                        "softcap", "take", "quantise", "experts"};
    return names[static_cast<int>(kind)];
}

void Plan::push(Op op) {
    pellucid::check(op, buffers_, layout_);
    if (op.quantised >= 0) {
        const int of = sixteens_.at(op.quantised).of;
        if (buffers_[of].width != buffers_[op.a].width || buffers_[of].wanted != buffers_[op.a].wanted)
            throw std::invalid_argument("16-bit numbers of other rows");
    }
    for (const Op& before : ops_)       // the queries of all are shared out alike
        if (op.kind == Kind::attend && before.kind == Kind::attend && before.heads != op.heads)
            throw std::invalid_argument("attention with another number of heads");
    ops_.push_back(std::move(op));
}

void Plan::finish(int result) {
    if (!buffers_.at(result).wanted) throw std::invalid_argument("the result is not of wanted rows");
    result_ = result;
    // An operation that shares out rows may follow another on the same rows without waiting; any
    // other that touches what was touched since the last barrier, and either wrote, must wait.
    struct Touch {
        Share share;
        bool wrote;
    };
    std::vector<std::vector<Touch>> buffers(buffers_.size()), sixteens(sixteens_.size());
    for (Op& op : ops_) {
        Share mine = share(op.kind);
        auto clash = [mine](const std::vector<Touch>& before, bool write) {
            return std::any_of(before.begin(), before.end(), [=](Touch t) {
                return (t.wrote || write) && (t.share == Share::whole || mine == Share::whole);
            });
        };
        bool wait = false;
        for (int in : {op.a, op.b})
            if (in >= 0) wait |= clash(buffers[in], false);
        bool fills = op.kind == Kind::quantise;
        if (op.quantised >= 0) wait |= clash(sixteens[op.quantised], fills);
        if (op.out >= 0) wait |= clash(buffers[op.out], true);
        if (op.kind == Kind::attend) wait = true;       // the keys that `store` wrote
        op.barrier = wait;
        if (wait) {
            for (auto& b : buffers) b.clear();
            for (auto& s : sixteens) s.clear();
        }
        for (int in : {op.a, op.b})
            if (in >= 0) buffers[in].push_back({mine, false});
        if (op.quantised >= 0) sixteens[op.quantised].push_back({mine, fills});
        if (op.out >= 0) buffers[op.out].push_back({mine, true});
    }
}

void Plan::make_room(const Batch& batch) {
    for (std::size_t i = 0; i < buffers_.size(); i++) {
        std::size_t needed = static_cast<std::size_t>(rows_of(static_cast<int>(i), batch)) * buffers_[i].width;
        if (buffers_[i].data.size() < needed) buffers_[i].data.resize(needed);
    }
    for (Sixteen& s : sixteens_) s.fit(static_cast<std::size_t>(rows_of(s.of, batch)) * buffers_[s.of].width);
    for (const Op& op : ops_)
        if (op.kind == Kind::experts) make_room_for_experts(op, rows_of(op.a, batch));
    items_.clear();
    const int group = ops_.empty() ? 1 : std::accumulate(ops_.begin(), ops_.end(), 1, [](int g, const Op& op) {
        return op.kind == Kind::attend ? op.heads : g;
    }) / std::max(layout_.kv_heads, 1);
    for (const Span& span : batch.spans)
        for (int head = 0; head < layout_.kv_heads; head++)
            for (int first = 0; first < span.rows * group; first += kQueries)
                items_.push_back({&span, head, first, std::min(kQueries, span.rows * group - first)});
}

// What comes from Python indexes memory from here on.
void Plan::check(const Batch& batch) const {
    (void)result_width();
    constexpr std::int64_t most = std::numeric_limits<int>::max() / 2;
    auto below = [](const std::int64_t* numbers, int n, std::int64_t limit, const char* what) {
        for (int i = 0; i < n; i++)
            if (numbers[i] < 0 || numbers[i] >= limit) throw std::out_of_range(what);
    };
    below(batch.wanted, batch.wanted_rows, batch.rows, "wanted: no such row");
    below(batch.positions, batch.rows, most, "positions: beyond what can be held");
    bool attends = false;
    for (const Op& op : ops_) {
        if (op.kind == Kind::embed) below(batch.ids, batch.rows, op.matrix->matrix().rows, "ids: beyond the vocabulary");
        if (op.kind == Kind::position) below(batch.positions, batch.rows, op.matrix->matrix().rows, "positions: beyond the table");
        attends |= op.kind == Kind::attend;
    }
    int row = 0;
    for (const Span& span : batch.spans) {
        if (span.row != row || span.rows < 0 || span.rows > batch.rows - row) throw std::invalid_argument("spans do not cover the rows in order");
        if (!(span.sequence->layout() == layout_)) throw std::invalid_argument("a cache of another model");
        for (int i = 1; i < span.rows; i++)
            if (batch.positions[row + i] != batch.positions[row] + i) throw std::invalid_argument("positions of a span do not follow each other");
        row += span.rows;
    }
    if (attends && row != batch.rows) throw std::invalid_argument("spans do not cover the rows in order");
}

void Plan::execute(const Batch& batch, float* out) {
    check(batch);
    auto turn = pool_->turn();
    for (const Span& span : batch.spans)
        if (span.rows) span.sequence->prepare(static_cast<int>(batch.positions[span.row]), span.rows);
    make_room(batch);
    beyond_half_ = false;
    using Clock = std::chrono::steady_clock;
    pool_->run([&](int t) {
        if (measuring && t == 0) {
            for (Op& op : ops_) {
                auto start = Clock::now();
                if (op.barrier) pool_->barrier();
                auto begin = Clock::now();
                run_op(op, batch, t);
                op.waited += std::chrono::duration<double>(begin - start).count();
                op.seconds += std::chrono::duration<double>(Clock::now() - start).count();
            }
            return;
        }
        for (Op& op : ops_) {       // a clock that is read 600 times costs 1 % of a small model's pass
            if (op.barrier) pool_->barrier();
            run_op(op, batch, t);
        }
    });
    if (beyond_half_) throw std::overflow_error("keys or values are beyond float16");
    const Buffer& result = buffers_[result_];
    if (batch.wanted_rows) std::memcpy(out, result.data.data(), sizeof(float) * result.width * batch.wanted_rows);
}

Quantised Plan::view(Sixteen& s, int columns) const {
    return {s.bytes.data(), s.scales.data(), s.sums.data(), columns};
}

void Plan::run_op(Op& op, const Batch& batch, int t) {
    switch (op.kind) {
        case Kind::linear: {
            Quantised q{};
            if (op.quantised >= 0) q = view(sixteens_[op.quantised], op.matrix->matrix().columns);
            return linear(*op.matrix, op.bias.empty() ? nullptr : op.bias.data(), row(op.a, 0),
                          op.quantised >= 0 ? &q : nullptr, rows_of(op.a, batch), row(op.out, 0),
                          buffers_[op.out].width, t);
        }
        case Kind::attend: return attend(op, batch, t);
        case Kind::experts: return mix(op, batch, t);
        case Kind::take: {
            auto [first, last] = part(batch.wanted_rows, t, pool_->size());
            for (int r = first; r < last; r++)
                std::memcpy(row(op.out, r), row(op.a, static_cast<int>(batch.wanted[r])), sizeof(float) * buffers_[op.out].width);
            return;
        }
        default: {
            int rows = op.out >= 0 ? rows_of(op.out, batch) : rows_of(op.a, batch);
            auto [first, last] = part(rows, t, pool_->size());
            if (first < last) run_rows(op, batch, first, last);
        }
    }
}

// Operations whose rows are shared out: each row by itself.
void Plan::run_rows(const Op& op, const Batch& batch, int first, int last) {
    const int width = op.out >= 0 ? buffers_[op.out].width : buffers_[op.a].width;
    const std::size_t n = static_cast<std::size_t>(last - first) * width;
    const Kernels& k = *kernels_;
    switch (op.kind) {
        case Kind::embed:
            for (int r = first; r < last; r++) op.matrix->row(static_cast<int>(batch.ids[r]), row(op.out, r));
            return;
        case Kind::position:
            for (int r = first; r < last; r++) op.matrix->row(static_cast<int>(batch.positions[r]), row(op.out, r));
            return;
        case Kind::norm: {
            const int each = width / op.heads;
            const float* bias = op.bias.empty() ? nullptr : op.bias.data();
            for (int r = first; r < last; r++)
                for (int h = 0; h < op.heads; h++)
                    k.norm(row(op.a, r) + h * each, op.weight.data(), bias, each, op.number, op.centre, row(op.out, r) + h * each);
            return;
        }
        case Kind::turns:
            for (int r = first; r < last; r++) turns(op, batch, r);
            return;
        case Kind::rotate:
            for (int r = first; r < last; r++) rotate(op, r);
            return;
        case Kind::store: return store(op, batch, first, last);
        case Kind::activate: return k.activate(row(op.a, first), n, op.act, row(op.out, first));
        case Kind::add: return k.add(row(op.a, first), row(op.b, first), n, row(op.out, first));
        case Kind::multiply: return k.multiply(row(op.a, first), row(op.b, first), n, row(op.out, first));
        case Kind::scale: return k.scale(row(op.a, first), op.number, n, row(op.out, first));
        case Kind::softcap: return k.softcap(row(op.a, first), op.number, n, row(op.out, first));
        case Kind::quantise: {
            Sixteen& s = sixteens_[op.quantised];
            for (int r = first; r < last; r++) {
                std::size_t at = static_cast<std::size_t>(r) * width;
                k.quantise(row(op.a, r), width, s.bytes.data() + 2 * at, s.scales.data() + at / kGroup, s.sums.data() + at / (kGroup / 2));
            }
            return;
        }
        default: return;
    }
}

void Plan::turns(const Op& op, const Batch& batch, int r) {
    const int half = buffers_[op.out].width / 2;
    float *cos = row(op.out, r), *sin = cos + half;
    for (int i = 0; i < half; i++) {
        float angle = static_cast<float>(batch.positions[r]) * op.weight[i];
        cos[i] = std::cos(angle) * op.number;
        sin[i] = std::sin(angle) * op.number;
    }
}

void Plan::rotate(const Op& op, int r) {
    const int half = buffers_[op.b].width / 2, each = buffers_[op.a].width / op.heads;
    const float *cos = row(op.b, r), *sin = cos + half;
    for (int h = 0; h < op.heads; h++) {
        const float* x = row(op.a, r) + h * each;
        float* y = row(op.out, r) + h * each;
        for (int i = 0; i < half; i++) {
            float a = x[i], b = x[half + i];
            y[i] = a * cos[i] - b * sin[i];
            y[half + i] = b * cos[i] + a * sin[i];
        }
        if (x != y) std::copy(x + 2 * half, x + each, y + 2 * half);
    }
}

void Plan::linear(const Packed& packed, const float* bias, const float* x, const Quantised* q, int rows,
                  float* out, int out_width, int t) const {
    const Matrix& m = packed.matrix();
    auto [first, last] = part((m.rows + kLanes - 1) / kLanes, t, pool_->size());
    // As many rows at a time as leave their activations in the second-level cache.
    const int most = std::max(6, (q ? 384 * 1024 / (2 * m.columns) : 384 * 1024 / (4 * m.columns)) / 6 * 6);
    for (int row0 = 0; row0 < rows; row0 += most) {
        int row1 = std::min(rows, row0 + most);
        if (q)
            kernels_->linear_packed(m, *q, row0, row1, first, last, bias, out, out_width);
        else
            kernels_->linear_dense(m, x, m.columns, row0, row1, first, last, bias, out, out_width);
    }
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

void Plan::attend(const Op& op, const Batch& batch, int t) {
    for (std::size_t i = t; i < items_.size(); i += pool_->size()) attend_item(op, batch, items_[i]);
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
        for (int i = 0; i < item.count; i++) {
            now[i] = {-std::numeric_limits<float>::infinity(), 0, now_mixed[i]};
            std::fill_n(now_mixed[i], l.padded_dim, 0.0f);
        }
        for (int at = std::max(range, first / kPage * kPage); at < std::min(last, range + kRange); at += kPage) {
            int low[kQueries], high[kQueries];
            for (int i = 0; i < item.count; i++) {
                low[i] = std::clamp(from[i] - at, 0, kPage);
                high[i] = std::clamp(to[i] - at, 0, kPage);
            }
            const Keys page = item.span->sequence->read(at / kPage, op.layer, item.head, at + kPage >= last);
            kernels_->attend(a, page, item.count, q, low, high, now);
        }
        for (int i = 0; i < item.count; i++) kernels_->join(all[i], now[i], l.padded_dim);
    }
    for (int i = 0; i < item.count; i++) kernels_->scale(all_mixed[i], 1.0f / all[i].sum, l.head_dim, out[i]);
}

// ---- a mixture of experts ------------------------------------------------------------------------

// All that the threads need of memory, since an allocation that fails there could not be told.
void Plan::make_room_for_experts(const Op& op, std::size_t rows) {
    auto fit = [](std::vector<float>& v, std::size_t n) { v.resize(std::max(v.size(), n)); };
    const std::size_t hidden = buffers_[op.a].width, count = op.experts.size();
    fit(chances_, count);
    routes_.resize(std::max(routes_.size(), count));
    for (auto& route : routes_) route.reserve(rows);
    for (auto* v : {&gathered_, &down_}) fit(*v, rows * hidden);
    for (const Mlp& mlp : op.experts) {
        const std::size_t width = mlp.up->matrix().rows;
        for (auto* v : {&up_, &gate_}) fit(*v, rows * width);
        sixteen_mid_.fit(rows * width);
    }
    sixteen_in_.fit(rows * hidden);
}

// Which rows go to which expert, with what weight.
void Plan::route(const Op& op, int rows) {
    const int count = static_cast<int>(op.experts.size());
    for (auto& route : routes_) route.clear();
    float* chances = chances_.data();
    for (int r = 0; r < rows; r++) {
        const float* scores = row(op.b, r);
        float top = *std::max_element(scores, scores + count), total = 0, kept = 0;
        for (int e = 0; e < count; e++) total += chances[e] = std::exp(scores[e] - top);
        int first[kMaxChosen];
        for (int i = 0; i < op.chosen; i++) {           // of equals, the first
            int best = -1;
            for (int e = 0; e < count; e++)
                if (std::find(first, first + i, e) == first + i && (best < 0 || chances[e] > chances[best])) best = e;
            first[i] = best;
            kept += chances[best];
        }
        for (int i = 0; i < op.chosen; i++)
            routes_[first[i]].emplace_back(r, chances[first[i]] / (op.renormalise ? kept : total));
    }
}

void Plan::mix(const Op& op, const Batch& batch, int t) {
    const int rows = rows_of(op.a, batch), count = static_cast<int>(op.experts.size());
    if (t == 0) {
        route(op, rows);
        std::fill_n(row(op.out, 0), static_cast<std::size_t>(rows) * buffers_[op.out].width, 0.0f);
    }
    pool_->barrier();
    for (int e = 0; e < count; e++)
        if (!routes_[e].empty()) mix_expert(op, e, t);
}

void Plan::mix_expert(const Op& op, int expert, int t) {
    const Mlp& mlp = op.experts[expert];
    const auto& route = routes_[expert];
    const int rows = static_cast<int>(route.size()), hidden = buffers_[op.a].width, width = mlp.up->matrix().rows;
    auto quantise = [&](const float* x, Sixteen& s, int columns) {
        for (int r = 0; r < rows; r++) {
            std::size_t at = static_cast<std::size_t>(r) * columns;
            kernels_->quantise(x + at, columns, s.bytes.data() + 2 * at, s.scales.data() + at / kGroup, s.sums.data() + at / (kGroup / 2));
        }
    };
    auto coded = [](const std::shared_ptr<Packed>& m) { return m->matrix().code >= Code::u4; };
    if (t == 0) {
        for (int r = 0; r < rows; r++) std::memcpy(gathered_.data() + static_cast<std::size_t>(r) * hidden, row(op.a, route[r].first), sizeof(float) * hidden);
        if (coded(mlp.up) || (mlp.gate && coded(mlp.gate))) quantise(gathered_.data(), sixteen_in_, hidden);
    }
    pool_->barrier();
    Quantised in = view(sixteen_in_, hidden);
    linear(*mlp.up, nullptr, gathered_.data(), coded(mlp.up) ? &in : nullptr, rows, up_.data(), width, t);
    if (mlp.gate) linear(*mlp.gate, nullptr, gathered_.data(), coded(mlp.gate) ? &in : nullptr, rows, gate_.data(), width, t);
    pool_->barrier();
    if (t == 0) {
        std::size_t n = static_cast<std::size_t>(rows) * width;
        float* active = mlp.gate ? gate_.data() : up_.data();
        kernels_->activate(active, n, op.act, active);
        if (mlp.gate) kernels_->multiply(gate_.data(), up_.data(), n, up_.data());
        if (coded(mlp.down)) quantise(up_.data(), sixteen_mid_, width);
    }
    pool_->barrier();
    Quantised mid = view(sixteen_mid_, width);
    linear(*mlp.down, nullptr, up_.data(), coded(mlp.down) ? &mid : nullptr, rows, down_.data(), hidden, t);
    pool_->barrier();
    if (t == 0)
        for (int r = 0; r < rows; r++) {
            float* x = down_.data() + static_cast<std::size_t>(r) * hidden;
            float* y = row(op.out, route[r].first);
            kernels_->scale(x, route[r].second, hidden, x);
            kernels_->add(y, x, hidden, y);
        }
    pool_->barrier();
}

}  // namespace pellucid
