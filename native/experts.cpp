// A mixture of experts, in phases: which rows go to which expert; the rows of all experts, one after
// another; their matrices; and for each row the sum of what came of it.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "plan.hpp"

namespace pellucid {
namespace {

bool is_coded(const std::shared_ptr<Packed>& m) { return m && coded(m->matrix().code); }

}  // namespace

// All that the threads need of memory, since an allocation that fails there could not be told.
void Plan::make_room_for_experts(const Op& op, std::size_t rows) {
    auto fit = [](auto& v, std::size_t n) { v.resize(std::max(v.size(), n)); };
    const std::size_t hidden = buffers_[op.a].width, count = op.experts.size(), all = rows * op.chosen;
    const std::size_t width = op.experts.front().up->matrix().rows;
    fit(chances_, count);
    fit(ends_, count);
    for (auto* v : {&chosen_, &routed_}) fit(*v, all);
    fit(places_, all);
    active_.reserve(count);
    for (auto* v : {&gathered_, &down_}) fit(*v, all * hidden);
    for (auto* v : {&up_, &gate_}) fit(*v, all * width);
    sixteen_in_.fit(all * hidden);
    sixteen_mid_.fit(all * width);
}

Plan::Extent Plan::mixture_extent(const Op& op, Stage stage, std::size_t rows) const {
    if (!rows) return {0, 0};
    const Mlp& first = op.experts.front();
    const std::size_t hidden = buffers_[op.a].width, width = first.up->matrix().rows, all = rows * op.chosen;
    auto of_matrix = [&](const Packed& m) {
        const Extent one = matrix_extent(m, all / active_.size());
        return Extent{active_.size() * one.units, one.bytes};
    };
    switch (stage) {
        case Stage::gather: return {all, 2 * sizeof(float) * hidden};
        case Stage::widen: return of_matrix(*first.up);
        case Stage::activate: return {all, 4 * sizeof(float) * width};
        case Stage::narrow: return of_matrix(*first.down);
        case Stage::join: return {rows, 2 * sizeof(float) * hidden * op.chosen};
        default: return {1, 0};
    }
}

void Plan::run_mixture(const Op& op, Stage stage, int rows, int first, int last) {
    switch (stage) {
        case Stage::choose: return choose_experts(op, rows);
        case Stage::gather: return gather_rows(op, first, last);
        case Stage::widen: return widen(op, first, last);
        case Stage::activate: return activate_rows(op, first, last);
        case Stage::narrow: return narrow(op, first, last);
        case Stage::join: return join_rows(op, first, last);
        default: return;
    }
}

// Which rows go to which expert, with what weight; of equals the first expert.
void Plan::choose_experts(const Op& op, int rows) {
    const int count = static_cast<int>(op.experts.size()), chosen = op.chosen;
    float* chances = chances_.data();
    std::fill_n(ends_.begin(), count, 0);
    for (int r = 0; r < rows; r++) {
        const float* scores = row(op.b, r);
        float top = *std::max_element(scores, scores + count), total = 0, kept = 0;
        for (int e = 0; e < count; e++) total += chances[e] = std::exp(scores[e] - top);
        Routed* mine = chosen_.data() + static_cast<std::size_t>(r) * chosen;
        for (int i = 0; i < chosen; i++) {
            int best = -1;
            for (int e = 0; e < count; e++) {
                const bool taken = std::any_of(mine, mine + i, [=](const Routed& m) { return m.expert == e; });
                if (!taken && (best < 0 || chances[e] > chances[best])) best = e;
            }
            mine[i] = {r, best, chances[best]};
            kept += chances[best];
            ends_[best]++;
        }
        for (int i = 0; i < chosen; i++) mine[i].weight /= op.renormalise ? kept : total;
        std::sort(mine, mine + chosen, [](const Routed& a, const Routed& b) { return a.expert < b.expert; });
    }
    order_by_expert(count, rows * chosen);
}

void Plan::order_by_expert(int experts, int all) {
    active_.clear();
    int begin = 0;
    for (int e = 0; e < experts; e++) {
        if (ends_[e]) active_.push_back(e);
        begin += std::exchange(ends_[e], begin);
    }
    for (int i = 0; i < all; i++) {     // where an expert's rows begin becomes where they end
        places_[i] = ends_[chosen_[i].expert]++;
        routed_[places_[i]] = chosen_[i];
    }
}

void Plan::gather_rows(const Op& op, int first, int last) {
    const int hidden = buffers_[op.a].width;
    for (int i = first; i < last; i++) {
        float* x = gathered_.data() + static_cast<std::size_t>(i) * hidden;
        std::memcpy(x, row(op.a, routed_[i].row), sizeof(float) * hidden);
        const Mlp& mlp = op.experts[routed_[i].expert];
        if (is_coded(mlp.up) || is_coded(mlp.gate)) quantise_row(x, hidden, sixteen_in_, i);
    }
}

// Units [first, last) of the active experts' matrices, one expert's after another's.
template <class Do>
void Plan::each_expert(int units, int first, int last, Do work) const {
    for (int at = first / units; at * units < last; at++) {
        const int expert = active_[at];
        work(expert, expert ? ends_[expert - 1] : 0, ends_[expert], std::max(first - at * units, 0), std::min(last - at * units, units));
    }
}

void Plan::widen(const Op& op, int first, int last) {
    const int hidden = buffers_[op.a].width, width = op.experts.front().up->matrix().rows;
    const Quantised in = view(sixteen_in_, hidden);
    each_expert(units_of(*op.experts.front().up), first, last, [&](int expert, int row0, int row1, int from, int to) {
        const Mlp& mlp = op.experts[expert];
        auto times = [&](const std::shared_ptr<Packed>& m, std::vector<float>& out) {
            linear(*m, nullptr, gathered_.data(), is_coded(m) ? &in : nullptr, row0, row1, out.data(), width, from, to);
        };
        times(mlp.up, up_);
        if (mlp.gate) times(mlp.gate, gate_);
    });
}

void Plan::activate_rows(const Op& op, int first, int last) {
    const int width = op.experts.front().up->matrix().rows;
    for (int i = first; i < last; i++) {
        const Mlp& mlp = op.experts[routed_[i].expert];
        const std::size_t at = static_cast<std::size_t>(i) * width;
        float *up = up_.data() + at, *active = mlp.gate ? gate_.data() + at : up;
        kernels_->activate(active, width, op.act, active);
        if (mlp.gate) kernels_->multiply(active, up, width, up);
        if (is_coded(mlp.down)) quantise_row(up, width, sixteen_mid_, i);
    }
}

void Plan::narrow(const Op& op, int first, int last) {
    const int hidden = buffers_[op.out].width;
    const Quantised mid = view(sixteen_mid_, op.experts.front().up->matrix().rows);
    each_expert(units_of(*op.experts.front().down), first, last, [&](int expert, int row0, int row1, int from, int to) {
        const auto& down = op.experts[expert].down;
        linear(*down, nullptr, up_.data(), is_coded(down) ? &mid : nullptr, row0, row1, down_.data(), hidden, from, to);
    });
}

// A row's experts are added in their order, whichever rows are beside it.
void Plan::join_rows(const Op& op, int first, int last) {
    const int hidden = buffers_[op.out].width;
    for (int r = first; r < last; r++) {
        float* y = row(op.out, r);
        std::fill_n(y, hidden, 0.0f);
        for (int i = 0; i < op.chosen; i++) {
            const int place = places_[static_cast<std::size_t>(r) * op.chosen + i];
            float* x = down_.data() + static_cast<std::size_t>(place) * hidden;
            kernels_->scale(x, routed_[place].weight, hidden, x);
            kernels_->add(y, x, hidden, y);
        }
    }
}

}  // namespace pellucid
