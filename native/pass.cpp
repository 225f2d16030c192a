// Executing a plan: what memory a batch needs, and its way through the phases, cut into pieces.
#include "plan.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <numeric>
#include <stdexcept>
#include <utility>

namespace pellucid {
namespace {

// A piece of work should read or write so much: half a microsecond, as a claim takes a twentieth. Who is
// done waits for the longest piece that is left: of 32 KiB a step of decoding took a tenth longer.
constexpr std::size_t kPieceBytes = 8 * 1024;
constexpr std::size_t kPieces = 24;             // of a group in a thread's share, at most

// The part `i` of `n` that is cut into `parts`.
std::pair<std::size_t, std::size_t> part(std::size_t n, std::size_t i, std::size_t parts) {
    if (n <= 1) return {i ? n : 0, n};      // as most are in decoding; a division takes longer
    auto start = [=](std::size_t of) { return (n * of + parts - 1) / parts; };
    return {start(i), start(i + 1)};
}


}  // namespace

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

    Ahead ahead(int phase, int share) override {
        return plan_.ahead(phases_, phase, batch_, share, shares_);
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

void Plan::prepare(const Batch& batch) const {
    check(batch);
    for (const Span& span : batch.spans)
        if (span.rows) span.sequence->prepare(static_cast<int>(batch.positions[span.row]), span.rows);
}

void Plan::execute(const Batch& batch, int part) {
    if (part < 0 || part >= parts()) throw std::out_of_range("part");
    auto turn = pool_->turn();
    make_room(batch);
    beyond_half_ = false;
    Pass pass(*this, batch, part);
    pool_->run(pass);
    pass.account();
    if (beyond_half_) throw std::overflow_error("keys or values are beyond float16");
}

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

// The pieces of a group: as many for each thread, unless that would be less than a unit each.
std::size_t Plan::cut(const Extent& extent) const {
    const std::size_t threads = pool_->size(), bytes = extent.units * extent.bytes;
    if (threads == 1 || bytes < 2 * kPieceBytes) return extent.units > 0;
    const std::size_t each = std::clamp<std::size_t>(bytes / kPieceBytes / threads, 1, kPieces);
    return std::min(extent.units, each * threads);
}

// A share's weights in the next phase that multiplies by any. Many rows take longer over theirs than
// memory does.
Ahead Plan::ahead(const Phases& phases, int phase, const Batch& batch, int share, int shares) const {
    constexpr std::size_t most = 128 * 1024;    // a part of a core's own cache
    constexpr int near = 3;                     // phases; to look farther brought nothing
    if (batch.rows > kFewRows) return {};
    const int end = std::min(phase + near + 1, static_cast<int>(phases.size()));
    for (int next = phase + 1; next < end; next++)
        for (const Group& group : phases[next]) {
            const Op& op = ops_[group.ops.front()];
            if (op.kind != Kind::linear) continue;
            const Extent units = extent(group, batch);
            const std::size_t pieces = cut(units), unit = kernels_->tiles * op.matrix->matrix().tile_bytes;
            const auto [first, last] = part(pieces, share, shares);
            if (first == last) continue;
            const std::size_t from = part(units.units, first, pieces).first, to = part(units.units, last - 1, pieces).second;
            return {op.matrix->matrix().data + from * unit, std::min(most, (to - from) * unit)};
        }
    return {};
}

Plan::Extent Plan::extent(const Group& group, const Batch& batch) const {
    const Op& op = ops_[group.ops.front()];
    const std::size_t rows = rows_of(op.out >= 0 ? op.out : op.a, batch);
    switch (op.kind) {
        case Kind::linear: return matrix_extent(*op.matrix, rows);
        case Kind::attend: return {attending_.at(op.window).stretches.size(), attending_.at(op.window).bytes};
        case Kind::experts: return mixture_extent(op, group.stage, rows);
        case Kind::logits: return {rows * Found::blocks(buffers_[op.a].width), sizeof(float) * Found::kBlock * (batch.found ? 4 : 1)};
        default: return {rows, group.bytes};
    }
}

void Plan::run_units(const Op& op, const Batch& batch, Stage stage, int first, int last) {
    switch (op.kind) {
        case Kind::linear: return run_linear(op, rows_of(op.a, batch), first, last);
        case Kind::attend:
            for (int i = first; i < last; i++) attend(op, batch, attending_.at(op.window).stretches[i]);
            return;
        case Kind::experts: return run_mixture(op, stage, rows_of(op.a, batch), first, last);
        case Kind::take:
            for (int r = first; r < last; r++)
                std::memcpy(row(op.out, r), row(op.a, static_cast<int>(batch.wanted[r])), sizeof(float) * buffers_[op.out].width);
            return;
        case Kind::logits: return hand_out(op, batch, first, last);
        default: return run_rows(op, batch, first, last);
    }
}

}  // namespace pellucid
