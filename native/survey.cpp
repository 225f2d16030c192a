#include "survey.hpp"

#include <cstring>
#include <functional>
#include <iterator>
#include <limits>
#include <numeric>

namespace pellucid {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kLowest = -std::numeric_limits<float>::max();
constexpr float kNoBound = std::numeric_limits<float>::quiet_NaN();

// The least number above; NaN, which no number reaches, where there is none.
float next(float x) { return x < kInfinity ? std::nextafter(x, kInfinity) : kNoBound; }

}  // namespace

Survey::Survey(const Kernels& kernels, const float* scores, std::size_t n) : Survey(kernels) {
    n_ = n;
    for (std::size_t start = 0; start < n; start += kBlock) blocks_.push_back(scores + start);
    highest_.resize(blocks_.size() * kParts);
    alive_.resize(blocks_.size() * kParts);
    for (std::size_t b = 0; b < blocks_.size(); b++) look(b);
    conclude();
}

Survey Survey::changed(const std::int64_t* places, const float* scores, std::size_t count) {
    if (own_.empty()) sums();   // what nobody has changed is weighed in any case; others may never be
    Survey made = *this;
    std::vector<std::size_t> touched(count);
    std::transform(places, places + count, touched.begin(), [](std::int64_t place) { return place / kBlock; });
    std::sort(touched.begin(), touched.end());
    touched.erase(std::unique(touched.begin(), touched.end()), touched.end());
    auto memory = std::make_shared<std::vector<float>>(touched.size() * kBlock);
    std::vector<float*> fresh(blocks_.size());
    for (std::size_t i = 0; i < touched.size(); i++) {
        std::size_t b = touched[i];
        made.blocks_[b] = fresh[b] = memory->data() + i * kBlock;
        std::memcpy(fresh[b], blocks_[b], length(b) * sizeof(float));
    }
    for (std::size_t i = 0; i < count; i++) fresh[places[i] / kBlock][places[i] % kBlock] = scores[i];
    made.own_.push_back(std::move(memory));
    for (std::size_t b : touched) made.look(b);
    made.conclude();
    if (made.most_ != most_) made.sums_.clear();
    if (!made.sums_.empty())
        for (std::size_t b : touched) made.sums_[b] = made.weigh(b);
    return made;
}

Survey Survey::divided(float by, float* out) const {
    Survey made(*kernels_);
    made.n_ = n_;
    made.most_ = most_ / by;    // of all quotients the highest: rounding keeps an order
    made.highest_.resize(highest_.size());
    made.alive_.resize(alive_.size());
    for (std::size_t b = 0; b < blocks_.size(); b++) {
        made.blocks_.push_back(out + b * kBlock);
        kernels_->divide(blocks_[b], by, length(b), out + b * kBlock);
        made.look(b);
        made.sums_.push_back(made.weigh(b));        // while it is near
    }
    made.conclude();
    return made;
}

void Survey::look(std::size_t block) {
    const std::size_t parts = (length(block) + kPart - 1) / kPart;
    for (std::size_t i = 0; i < kParts; i++) {
        std::size_t part = block * kParts + i;
        highest_[part] = -kInfinity;
        alive_[part] = 0;
        if (i < parts)
            alive_[part] = kernels_->peak(blocks_[block] + i * kPart, std::min(kPart, length(block) - i * kPart), &highest_[part]);
    }
}

void Survey::conclude() {
    kernels_->peak(highest_.data(), highest_.size(), &most_);
    left_ = std::accumulate(alive_.begin(), alive_.end(), std::size_t{0});
}

double Survey::weigh(std::size_t block) const {
    // Where nothing is left, a shift of zero keeps infinity from being taken from itself.
    return kernels_->weigh(blocks_[block], length(block), most_ == -kInfinity ? 0.0f : most_, nullptr);
}

const std::vector<double>& Survey::sums() {
    for (std::size_t b = sums_.size(); b < blocks_.size(); b++) sums_.push_back(weigh(b));
    return sums_;
}

double Survey::total() {
    sums();
    return std::accumulate(sums_.begin(), sums_.end(), 0.0);
}

void Survey::copy(float* out) const {
    for (std::size_t b = 0; b < blocks_.size(); b++)
        std::memcpy(out + b * kBlock, blocks_[b], length(b) * sizeof(float));
}

template <class Function>
void Survey::each_part(const float& edge, Function f) const {
    for (std::size_t part = 0; part * kPart < n_; part++) {
        if (highest_[part] < edge) continue;        // NaN is not: beside it there may be more
        std::size_t start = part * kPart;
        f(start, blocks_[part / kParts] + start % kBlock, std::min(kPart, n_ - start));
    }
}

template <class Function, class Ended>
void Survey::each(const float& edge, Function f, Ended part_ended) const {
    std::uint32_t found[kPart];
    each_part(edge, [&](std::size_t start, const float* scores, std::size_t n) {
        std::size_t count = kernels_->between(scores, n, edge, kNoBound, found);
        for (std::size_t i = 0; i < count; i++) f(static_cast<std::int64_t>(start + found[i]), scores[found[i]]);
        part_ended();
    });
}

// So many parts have one; the lowest number where there are fewer.
float Survey::bound(std::size_t k) const {
    std::vector<float> tops;
    std::copy_if(highest_.begin(), highest_.end(), std::back_inserter(tops), [](float top) { return top > -kInfinity; });
    if (tops.size() < k) return kLowest;
    std::nth_element(tops.begin(), tops.begin() + (k - 1), tops.end(), std::greater<float>());
    return tops[k - 1];
}

Places Survey::leading(std::size_t k) const {
    if (k == 0) return {};
    struct Found { float score; std::int64_t place; };
    auto before = [](const Found& a, const Found& b) {
        return a.score > b.score || (a.score == b.score && a.place < b.place);
    };
    std::vector<Found> kept;
    float low = bound(k);
    auto cut = [&] {
        if (kept.size() <= k) return;
        std::nth_element(kept.begin(), kept.begin() + (k - 1), kept.end(), before);
        kept.resize(k);
        // What comes later must be above the last of them: of equals the earlier one leads.
        low = next(kept.back().score);
    };
    each(low, [&](std::int64_t place, float score) { kept.push_back({score, place}); },
         [&] { if (kept.size() / 2 >= k) cut(); });     // not sooner: so all cuts cost O(n)
    cut();
    std::sort(kept.begin(), kept.end(), before);
    Places places(kept.size());
    std::transform(kept.begin(), kept.end(), places.begin(), [](const Found& one) { return one.place; });
    return places;
}

Places Survey::ranks(const float* some, std::size_t count) const {
    Places ranks(count);
    std::vector<float> marks;
    std::copy_if(some, some + count, std::back_inserter(marks), [](float s) { return s > -kInfinity; });
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
        over.back() += kernels_->reach(scores, n, above_last);
    });
    for (std::size_t i = 0; i < count; i++)
        if (some[i] > -kInfinity)
            ranks[i] = 1 + over[std::lower_bound(marks.begin(), marks.end(), some[i], std::greater<float>()) - marks.begin()];
    return ranks;
}

Places Survey::at_least(float edge) const {
    Places places;
    each(edge, [&](std::int64_t place, float) { places.push_back(place); }, [] {});
    return places;
}

}  // namespace pellucid
