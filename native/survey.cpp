#include "survey.hpp"

#include <functional>
#include <iterator>
#include <limits>
#include <numeric>
#include <stdexcept>

namespace pellucid {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNoBound = std::numeric_limits<float>::quiet_NaN();

// The least number above; NaN, which no number reaches, where there is none.
float next(float x) { return x < kInfinity ? std::nextafter(x, kInfinity) : kNoBound; }

}  // namespace

void Found::look(std::size_t block, const float* scores, std::size_t n) {
    look_at_parts(block, scores, n);
    sums[block] = kernels->weigh(scores, n, top(block), 1, nullptr);    // while it is near
}

void Found::look_at_parts(std::size_t block, const float* scores, std::size_t n) {
    alive[block] = 0;
    for (std::size_t i = 0; i < kParts; i++) {
        const std::size_t start = i * kPart;
        float& most = highest[block * kParts + i] = -kInfinity;
        if (start < n) alive[block] += kernels->peak(scores + start, std::min(kPart, n - start), &most);
    }
    kernels->peak(&highest[block * kParts], kParts, &tops[block]);
}

Survey::Survey(const Kernels& kernels, const float* scores, std::size_t n) : Survey(scores, n, [&] {
    Found found(kernels, n);
    for (std::size_t start = 0; start < n; start += kBlock)
        found.look(start / kBlock, scores + start, std::min(kBlock, n - start));
    return found;
}()) {}

Survey::Survey(const Kernels& kernels, Memory scores, std::size_t n) : Survey(kernels, scores.get(), n) {
    own_.push_back(std::move(scores));
}

Survey::Survey(const float* scores, std::size_t n, Found found) : n_(n), found_(std::move(found)) {
    blocks_.reserve(Found::blocks(n));
    for (std::size_t start = 0; start < n; start += kBlock) blocks_.push_back({scores + start});
    conclude();
}

Survey Survey::changed(const std::int64_t* places, const float* scores, std::size_t count) {
    leaders(1);         // what is made of it inherits them
    Survey made = *this;
    const Places where = distinct(Places(places, places + count));
    std::vector<std::size_t> touched(where.size());
    std::transform(where.begin(), where.end(), touched.begin(), [](std::int64_t place) { return place / kBlock; });
    touched.erase(std::unique(touched.begin(), touched.end()), touched.end());
    Memory memory(new float[touched.size() * kBlock]);
    std::vector<float*> fresh(blocks_.size());
    for (std::size_t i = 0; i < touched.size(); i++) {
        std::size_t b = touched[i];
        fresh[b] = memory.get() + i * kBlock;
        made.blocks_[b] = {fresh[b]};
        copy(b, fresh[b]);
    }
    for (std::size_t i = 0; i < count; i++) fresh[places[i] / kBlock][places[i] % kBlock] = scores[i];
    made.own_.push_back(std::move(memory));
    made.total_.reset();
    for (std::size_t b : touched) made.look(b, fresh[b]);
    made.conclude();
    if (!made.found_.sums.empty())
        for (std::size_t b : touched) made.found_.sums[b] = made.weigh(b, length(b), nullptr);
    auto moved = [&](const Leader& one) { return std::binary_search(where.begin(), where.end(), one.place); };
    made.leaders_.erase(std::remove_if(made.leaders_.begin(), made.leaders_.end(), moved), made.leaders_.end());
    for (std::int64_t place : where)
        if (const Leader one{made[place], place}; one.score >= kLowest && !(edge_ < one)) made.leaders_.push_back(one);
    std::sort(made.leaders_.begin(), made.leaders_.end());
    return made;
}

Survey Survey::divided(float by) {
    leaders(1);
    Survey made = *this;
    if (std::any_of(blocks_.begin(), blocks_.end(), [](const Block& block) { return block.by != 1; })) {
        Memory memory(new float[n_]);      // two roundings are not one
        copy(memory.get());
        for (std::size_t b = 0; b < blocks_.size(); b++) made.blocks_[b].scores = memory.get() + b * kBlock;
        made.own_.push_back(std::move(memory));
    }
    for (std::size_t b = 0; b < blocks_.size(); b++) made.blocks_[b].by = by, made.blocks_[b].top = found_.top(b);
    for (std::vector<float>* found : {&made.found_.tops, &made.found_.highest})     // rounding keeps an order
        found_.kernels->divide(found->data(), by, found->size(), found->data());
    made.most_ = quotient(most_, by);
    made.found_.sums.clear();
    made.total_.reset();
    for (Leader& one : made.leaders_) one.score = quotient(one.score, by);
    if (!all_lead()) {
        // Rounding makes equals of some that were not, of the last and others that came behind it too.
        const float last = quotient(edge_.score, by);
        while (!made.leaders_.empty() && !(made.leaders_.back().score > last)) made.leaders_.pop_back();
        made.edge_ = last < kInfinity ? Leader{next(last), kNoPlace} : Leader{};
    }
    std::sort(made.leaders_.begin(), made.leaders_.end());
    return made;
}

const float* Survey::read(const Block& block, std::size_t start, std::size_t n, float* room) const {
    if (block.by == 1) return block.scores + start;
    found_.kernels->divide(block.scores + start, block.by, n, room);
    return room;
}

void Survey::conclude() {
    found_.kernels->peak(found_.tops.data(), found_.tops.size(), &most_);
    left_ = std::accumulate(found_.alive.begin(), found_.alive.end(), std::size_t{0});
}

double Survey::scale(std::size_t block) const {
    return found_.sums[block] == 0 ? 0 : std::exp(static_cast<double>(found_.top(block)) - most_);
}

double Survey::weigh(std::size_t block, std::size_t n, float* weights) const {
    const auto [scores, by, top] = blocks_[block];
    const float now = found_.top(block);
    // Quotients of their own take as long again as their exponentials, and are what the others see of them.
    if (by != 1 && std::abs(now) <= kNear) return found_.kernels->weigh(scores, n, top, by, weights);
    float room[kBlock];
    return found_.kernels->weigh(read(blocks_[block], 0, n, room), n, now, 1, weights);
}

void Survey::weigh() {
    for (std::size_t b = found_.sums.size(); b < blocks_.size(); b++) found_.sums.push_back(weigh(b, length(b), nullptr));
}

std::vector<double> Survey::sums() {
    weigh();
    std::vector<double> scaled = found_.sums;
    for (std::size_t b = 0; b < scaled.size(); b++) scaled[b] *= scale(b);
    return scaled;
}

double Survey::total() {
    if (!total_) {
        const std::vector<double> all = sums();
        total_ = std::accumulate(all.begin(), all.end(), 0.0);
    }
    return *total_;
}

double Survey::mass(const std::int64_t* places, std::size_t count) {
    double sum = 0;
    for (std::size_t i = 0; i < count; i++) sum += std::exp(static_cast<double>((*this)[places[i]]) - most_);
    return sum / total();
}

double Survey::below(std::size_t place) {
    const std::vector<double> all = sums();
    const std::size_t block = place / kBlock;
    double sum = std::accumulate(all.begin(), all.begin() + block, 0.0);
    if (const std::size_t n = place % kBlock) sum += weigh(block, n, nullptr) * scale(block);
    return sum / total();
}

double Survey::lost_of(Survey& before) {
    before.weigh();
    double lost = 0;
    for (std::size_t b = 0; b < blocks_.size(); b++) {
        if (blocks_[b] == before.blocks_[b]) continue;
        float room[kBlock], old_room[kBlock], gone[kBlock];
        const std::size_t n = length(b);
        const float* now = read(blocks_[b], 0, n, room);
        const float* old = read(before.blocks_[b], 0, n, old_room);
        for (std::size_t i = 0; i < n; i++) gone[i] = now[i] == -kInfinity ? old[i] : -kInfinity;
        lost += found_.kernels->weigh(gone, n, before.found_.top(b), 1, nullptr) * before.scale(b);
    }
    return lost / before.total();
}

namespace {

// The first place where the running sum exceeds `goal`, from which what is before it is taken.
// Rounding never leads past the last that weighs anything.
template <class Number>
std::size_t reach(const std::vector<Number>& weights, double& goal) {
    double sum = 0, before = 0;
    std::size_t last = weights.size();
    for (std::size_t i = 0; i < weights.size() && !(last < weights.size() && sum > goal); i++) {
        if (!(weights[i] > 0)) continue;
        before = sum;
        sum += weights[i];
        last = i;
    }
    if (last == weights.size()) throw std::invalid_argument("no score is left to draw");
    goal -= before;
    return last;
}

}  // namespace

std::size_t Survey::drawn(double uniform) {
    // Two steps, the block and then the place in it.
    double goal = uniform * total();
    const std::size_t block = reach(sums(), goal), n = length(block);
    goal /= scale(block);
    std::vector<float> weights(n);
    weigh(block, n, weights.data());
    return block * kBlock + reach(weights, goal);
}

std::optional<float> Survey::nucleus(double part) {
    const double wanted = part * total();
    for (std::size_t k = 64; k <= kSorted; k *= 8) {
        const std::vector<Leader>& all = leaders(k);
        std::vector<float> scores(std::min(k, all.size())), weights(scores.size());
        std::transform(all.begin(), all.begin() + scores.size(), scores.begin(), [](const Leader& one) { return one.score; });
        found_.kernels->weigh(scores.data(), scores.size(), most_, 1, weights.data());
        const float least = most_ - kFarthest;
        double sum = 0;
        for (std::size_t i = 0; i < scores.size(); i++) {
            sum += weights[i];
            const bool last = i + 1 == scores.size() ? scores.size() < k : scores[i + 1] < least;
            if (sum >= wanted || last) return scores[i];
        }
    }
    return std::nullopt;
}

void Survey::copy(std::size_t block, float* out) const {
    const float* scores = read(blocks_[block], 0, length(block), out);
    if (scores != out) std::copy_n(scores, length(block), out);
}

void Survey::copy(float* out) const {
    for (std::size_t b = 0; b < blocks_.size(); b++) copy(b, out + b * kBlock);
}

template <class Function>
void Survey::each_part(const float& edge, Function f) const {
    float room[kPart];
    for (std::size_t b = 0; b < blocks_.size(); b++) {
        if (found_.tops[b] < edge) continue;                    // NaN is not: beside it there may be more
        for (std::size_t part = b * kParts; part < (b + 1) * kParts && part * kPart < n_; part++) {
            if (found_.highest[part] < edge) continue;
            const std::size_t start = part * kPart, n = std::min(kPart, n_ - start);
            f(start, read(blocks_[b], start % kBlock, n, room), n);
        }
    }
}

template <class Function, class Ended>
void Survey::each(const float& edge, Function f, Ended part_ended) const {
    std::uint32_t found[kPart];
    each_part(edge, [&](std::size_t start, const float* scores, std::size_t n) {
        std::size_t count = found_.kernels->between(scores, n, edge, kNoBound, found);
        for (std::size_t i = 0; i < count; i++) f(static_cast<std::int64_t>(start + found[i]), scores[found[i]]);
        part_ended();
    });
}

// So many blocks or parts have one; the lowest number where there are fewer.
float Survey::bound(std::size_t k) const {
    const std::vector<float>& all = k <= blocks_.size() / 2 ? found_.tops : found_.highest;
    std::vector<float> tops;
    tops.reserve(all.size());
    std::copy_if(all.begin(), all.end(), std::back_inserter(tops), [](float top) { return top > -kInfinity; });
    if (tops.size() < k) return kLowest;
    std::nth_element(tops.begin(), tops.begin() + (k - 1), tops.end(), std::greater<float>());
    return tops[k - 1];
}

Places Survey::leading(std::size_t k) {
    const std::vector<Leader>& all = leaders(k);
    Places places(std::min(k, all.size()));
    std::transform(all.begin(), all.begin() + places.size(), places.begin(), [](const Leader& one) { return one.place; });
    return places;
}

std::optional<float> Survey::least(std::size_t k) {
    const std::vector<Leader>& all = leaders(k);
    return k > 0 && k <= all.size() ? std::optional(all[k - 1].score) : std::nullopt;
}

const std::vector<Survey::Leader>& Survey::leaders(std::size_t k) {
    constexpr std::size_t some = 64;
    if (leaders_.size() < k && !all_lead()) find_leaders(std::max(k, some));
    return leaders_;
}

void Survey::find_leaders(std::size_t k) {
    std::vector<Leader> kept;
    float low = bound(k);
    auto cut = [&] {
        if (kept.size() <= k) return;
        std::nth_element(kept.begin(), kept.begin() + (k - 1), kept.end());
        kept.resize(k);
        // What comes later must be above the last of them: of equals the earlier one leads.
        low = next(kept.back().score);
    };
    each(low, [&](std::int64_t place, float score) { kept.push_back({score, place}); },
         [&] { if (kept.size() / 2 >= k) cut(); });     // not sooner: so all cuts cost O(n)
    cut();
    std::sort(kept.begin(), kept.end());
    edge_ = kept.size() < left_ ? kept.back() : Leader{kLowest, kNoPlace};
    leaders_ = std::move(kept);
}

Places Survey::ranks(const float* some, std::size_t count) {
    Places ranks(count);
    leaders(1);
    std::vector<float> marks;       // below the leaders, who tell their own
    for (std::size_t i = 0; i < count; i++) {
        if (some[i] >= edge_.score)
            ranks[i] = 1 + (std::lower_bound(leaders_.begin(), leaders_.end(), Leader{some[i], -1}) - leaders_.begin());
        else if (some[i] > -kInfinity)
            marks.push_back(some[i]);
    }
    if (marks.empty()) return ranks;
    std::sort(marks.begin(), marks.end(), std::greater<float>());
    // The last may be a rare token, which nearly all are above; above the others there are few.
    Places over(marks.size());
    auto passed = [&](float s) { return std::upper_bound(marks.begin(), marks.end() - 1, s, std::greater<float>()) - marks.begin(); };
    if (marks.size() > 1)
        each(marks[marks.size() - 2], [&](std::int64_t, float score) { over[passed(score)]++; }, [] {});
    std::partial_sum(over.begin(), over.end(), over.begin());
    const float above_last = next(marks.back());
    over.back() = 0;
    each_part(above_last, [&](std::size_t, const float* scores, std::size_t n) {
        over.back() += found_.kernels->reach(scores, n, above_last);
    });
    for (std::size_t i = 0; i < count; i++)
        if (some[i] > -kInfinity && some[i] < edge_.score)
            ranks[i] = 1 + over[std::lower_bound(marks.begin(), marks.end(), some[i], std::greater<float>()) - marks.begin()];
    return ranks;
}

Places Survey::at_least(float edge) {
    Places places;
    if (edge > edge_.score) {
        for (std::size_t i = 0; i < leaders_.size() && leaders_[i].score >= edge; i++) places.push_back(leaders_[i].place);
        std::sort(places.begin(), places.end());
        return places;
    }
    each(edge, [&](std::int64_t place, float) { places.push_back(place); }, [] {});
    return places;
}

}  // namespace pellucid
