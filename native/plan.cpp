#include "plan.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <utility>

namespace pellucid {
namespace {

constexpr int kRange = 4 * kPage;       // keys that are gathered before they are joined to the rest

// A piece of work should read or write so much: a microsecond or two, as a claim takes a fiftieth.
constexpr std::size_t kPieceBytes = 32 * 1024;
constexpr std::size_t kPieces = 16;             // of a group in a thread's share, at most
constexpr std::size_t kMostGroups = 1024;       // of a phase: a crew counts its pieces in 16 bits

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

// The part `i` of `n` that is cut into `parts`.
std::pair<std::size_t, std::size_t> part(std::size_t n, std::size_t i, std::size_t parts) {
    if (n <= 1) return {i ? n : 0, n};      // as most are in decoding; a division takes longer
    auto start = [=](std::size_t of) { return (n * of + parts - 1) / parts; };
    return {start(i), start(i + 1)};
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
    bool after_mixture = false;
    parts_.assign(1, {});
    auto begin_part = [this](std::ptrdiff_t op) {
        const auto stops = std::count(stops_.begin(), stops_.end(), op);
        parts_.resize(parts_.size() + stops);
        return stops > 0;
    };
    for (Op& op : ops_) {
        Share mine = share(op.kind);
        auto clash = [mine](const std::vector<Touch>& before, bool write) {
            return std::any_of(before.begin(), before.end(), [=](Touch t) {
                return (t.wrote || write) && (t.share == Share::whole || mine == Share::whole);
            });
        };
        bool wait = begin_part(&op - ops_.data());
        wait |= op.kind == Kind::experts || after_mixture;     // which has phases of its own
        for (int in : {op.a, op.b})
            if (in >= 0) wait |= clash(buffers[in], false);
        bool fills = op.kind == Kind::quantise;
        if (op.quantised >= 0) wait |= clash(sixteens[op.quantised], fills);
        if (op.out >= 0) wait |= clash(buffers[op.out], true);
        if (op.kind == Kind::attend) wait = true;       // the keys that `store` wrote
        const Phases& phases = parts_.back();
        if (!phases.empty() && phases.back().size() == kMostGroups) wait = true;
        op.barrier = wait;
        after_mixture = op.kind == Kind::experts;
        group(static_cast<int>(&op - ops_.data()), wait);
        if (wait) {
            for (auto& b : buffers) b.clear();
            for (auto& s : sixteens) s.clear();
        }
        for (int in : {op.a, op.b})
            if (in >= 0) buffers[in].push_back({mine, false});
        if (op.quantised >= 0) sixteens[op.quantised].push_back({mine, fills});
        if (op.out >= 0) buffers[op.out].push_back({mine, true});
    }
    begin_part(static_cast<std::ptrdiff_t>(ops_.size()));
}

// Puts an operation into the last phase, or into one that it opens.
void Plan::group(int number, bool opens) {
    Phases& phases = parts_.back();
    if (opens || phases.empty()) phases.emplace_back();
    const Op& op = ops_[number];
    if (op.kind == Kind::experts) {
        phases.back().push_back({{number}, Stage::choose, 0});
        for (Stage stage : {Stage::gather, Stage::widen, Stage::activate, Stage::narrow, Stage::join})
            phases.push_back({{{number}, stage, 0}});
        return;
    }
    auto buffer = [&](const Op& of) -> const Buffer& { return buffers_[of.out >= 0 ? of.out : of.a]; };
    const std::size_t bytes = 2 * sizeof(float) * buffer(op).width;
    if (share(op.kind) == Share::rows)
        for (Group& group : phases.back()) {
            const Op& other = ops_[group.ops.front()];
            if (share(other.kind) != Share::rows || buffer(other).wanted != buffer(op).wanted) continue;
            group.ops.push_back(number);
            group.bytes += bytes;
            return;
        }
    phases.back().push_back({{number}, Stage::whole, bytes});
}

void Plan::make_room(const Batch& batch) {
    for (std::size_t i = 0; i < buffers_.size(); i++) {
        std::size_t needed = static_cast<std::size_t>(rows_of(static_cast<int>(i), batch)) * buffers_[i].width;
        if (buffers_[i].data.size() < needed) buffers_[i].data.resize(needed);
    }
    for (Sixteen& s : sixteens_) s.fit(static_cast<std::size_t>(rows_of(s.of, batch)) * buffers_[s.of].width);
    for (const Op& op : ops_)
        if (op.kind == Kind::experts) make_room_for_experts(op, rows_of(op.a, batch));
    make_room_for_attention(batch);
}

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

// A batch on its way through the phases.
class Plan::Pass : public Work {
public:
    Pass(Plan& plan, const Batch& batch, int part)
        : plan_(plan), phases_(plan.parts_[part]), batch_(batch), shares_(plan.pool_->size()), measured_(plan.measuring) {
        if (!measured_) return;     // a clock that is read 600 times costs 1 % of a small model's pass
        opened_.resize(phases_.size());
        busy_.assign(shares_, std::vector<double>(plan.ops_.size()));
    }

    int phases() const override { return static_cast<int>(phases_.size()); }

    int pieces(int phase, int share) override {
        if (measured_ && share == 0) opened_[phase] = Clock::now();
        std::size_t count = 0;
        for (const Group& group : phases_[phase]) {
            auto [first, last] = part(plan_.cut(plan_.extent(group, batch_)), share, shares_);
            count += last - first;
        }
        return static_cast<int>(count);
    }

    void piece(int phase, int share, int number, int thread) override {
        std::size_t left = number;
        for (const Group& group : phases_[phase]) {
            const Extent extent = plan_.extent(group, batch_);
            const std::size_t pieces = plan_.cut(extent);
            auto [first, last] = part(pieces, share, shares_);
            if (left < last - first) return run(group, part(extent.units, first + left, pieces), thread);
            left -= last - first;
        }
    }

    // The time between the openings of two phases is that of the first's operations, in proportion
    // to what the threads were at work on each.
    void account() {
        if (!measured_) return;
        const auto end = Clock::now();
        for (std::size_t p = 0; p < opened_.size(); p++) {
            std::vector<int> ops;
            for (const Group& group : phases_[p]) ops.insert(ops.end(), group.ops.begin(), group.ops.end());
            share_out(ops, seconds(opened_[p], p + 1 < opened_.size() ? opened_[p + 1] : end));
        }
    }

private:
    using Clock = std::chrono::steady_clock;
    static double seconds(Clock::time_point from, Clock::time_point to) {
        return std::chrono::duration<double>(to - from).count();
    }

    void run(const Group& group, std::pair<std::size_t, std::size_t> units, int thread) {
        const int first = static_cast<int>(units.first), last = static_cast<int>(units.second);
        for (int op : group.ops) {
            const auto start = measured_ ? Clock::now() : Clock::time_point();
            plan_.run_units(plan_.ops_[op], batch_, group.stage, first, last);
            if (measured_) busy_[thread][op] += seconds(start, Clock::now());
        }
    }

    void share_out(const std::vector<int>& ops, double wall) {
        std::vector<double> worked;
        for (int op : ops) {
            double all = 0;
            for (auto& thread : busy_) all += std::exchange(thread[op], 0.0);
            worked.push_back(all);
        }
        const double total = std::accumulate(worked.begin(), worked.end(), 0.0);
        const double idle = std::max(0.0, wall - total / shares_);
        for (std::size_t i = 0; i < ops.size(); i++) {
            const double part = total > 0 ? worked[i] / total : 1.0 / ops.size();
            plan_.ops_[ops[i]].seconds += wall * part;
            plan_.ops_[ops[i]].waited += idle * part;
        }
    }

    Plan& plan_;
    const Phases& phases_;
    const Batch& batch_;
    const int shares_;
    const bool measured_;
    std::vector<Clock::time_point> opened_;
    std::vector<std::vector<double>> busy_;     // [thread][operation], of phases not yet accounted
};

void Plan::read(int buffer, int rows, float* out) const {
    const Buffer& b = buffers_.at(buffer);
    if (rows < 0 || static_cast<std::size_t>(rows) > b.data.size() / b.width) throw std::out_of_range("rows");
    std::copy_n(b.data.data(), static_cast<std::size_t>(rows) * b.width, out);
}

void Plan::write(int buffer, int rows, const float* from) {
    Buffer& b = buffers_.at(buffer);
    const std::size_t numbers = static_cast<std::size_t>(rows) * b.width;
    if (b.data.size() < numbers) b.data.resize(numbers);
    std::copy_n(from, numbers, b.data.data());
}

void Plan::execute(const Batch& batch, int part, float* out) {
    check(batch);
    if (part < 0 || part >= parts()) throw std::out_of_range("part");
    auto turn = pool_->turn();
    for (const Span& span : batch.spans)
        if (span.rows) span.sequence->prepare(static_cast<int>(batch.positions[span.row]), span.rows);
    make_room(batch);
    beyond_half_ = false;
    Pass pass(*this, batch, part);
    pool_->run(pass);
    pass.account();
    if (beyond_half_) throw std::overflow_error("keys or values are beyond float16");
    const Buffer& result = buffers_[result_];
    if (part + 1 == parts() && batch.wanted_rows) std::memcpy(out, result.data.data(), sizeof(float) * result.width * batch.wanted_rows);
}

// The pieces of a group: as many for each thread, unless that would be less than a unit each.
std::size_t Plan::cut(const Extent& extent) const {
    const std::size_t threads = pool_->size(), bytes = extent.units * extent.bytes;
    if (threads == 1 || bytes < 2 * kPieceBytes) return extent.units > 0;
    const std::size_t each = std::clamp<std::size_t>(bytes / kPieceBytes / threads, 1, kPieces);
    return std::min(extent.units, each * threads);
}

Plan::Extent Plan::extent(const Group& group, const Batch& batch) const {
    const Op& op = ops_[group.ops.front()];
    const std::size_t rows = rows_of(op.out >= 0 ? op.out : op.a, batch);
    switch (op.kind) {
        case Kind::linear: {
            const std::size_t tiles = tiles_of(*op.matrix);
            return {rows ? tiles : 0, op.matrix->matrix().tile_bytes * work_of(rows)};
        }
        case Kind::attend: return {items_.size(), item_bytes_ * work_of(kQueries)};
        case Kind::experts: return mixture_extent(op, group.stage, rows);
        default: return {rows, group.bytes};
    }
}

Quantised Plan::view(Sixteen& s, int columns) const {
    return {s.bytes.data(), s.scales.data(), s.sums.data(), columns};
}

void Plan::run_units(const Op& op, const Batch& batch, Stage stage, int first, int last) {
    switch (op.kind) {
        case Kind::linear: return run_linear(op, rows_of(op.a, batch), first, last);
        case Kind::attend:
            for (int i = first; i < last; i++) attend_item(op, batch, items_[i]);
            return;
        case Kind::experts: return run_mixture(op, stage, rows_of(op.a, batch), first, last);
        case Kind::take:
            for (int r = first; r < last; r++)
                std::memcpy(row(op.out, r), row(op.a, static_cast<int>(batch.wanted[r])), sizeof(float) * buffers_[op.out].width);
            return;
        default: return run_rows(op, batch, first, last);
    }
}

void Plan::run_linear(const Op& op, int rows, int first, int last) {
    Quantised q{};
    if (op.quantised >= 0) q = view(sixteens_[op.quantised], op.matrix->matrix().columns);
    linear(*op.matrix, op.bias.empty() ? nullptr : op.bias.data(), row(op.a, 0), op.quantised >= 0 ? &q : nullptr,
           0, rows, row(op.out, 0), buffers_[op.out].width, first, last);
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
            for (int r = first; r < last; r++) quantise_row(row(op.a, r), width, s, r);
            return;
        }
        default: return;
    }
}

void Plan::quantise_row(const float* x, int columns, Sixteen& into, int row) const {
    const std::size_t at = static_cast<std::size_t>(row) * columns;
    kernels_->quantise(x, columns, into.bytes.data() + 2 * at, into.scales.data() + at / kGroup, into.sums.data() + at / (kGroup / 2));
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

void Plan::linear(const Packed& packed, const float* bias, const float* x, const Quantised* q, int row0,
                  int row1, float* out, int out_width, int first, int last) const {
    const Matrix& m = packed.matrix();
    // As many rows at a time as leave their activations in the second-level cache.
    const int most = std::max(6, (q ? 384 * 1024 / (2 * m.columns) : 384 * 1024 / (4 * m.columns)) / 6 * 6);
    for (; row0 < row1; row0 += most) {
        const int end = std::min(row1, row0 + most);
        if (q)
            kernels_->linear_packed(m, *q, row0, end, first, last, bias, out, out_width);
        else
            kernels_->linear_dense(m, x, m.columns, row0, end, first, last, bias, out, out_width);
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

}  // namespace pellucid
