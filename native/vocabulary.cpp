#include "vocabulary.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <iterator>
#include <limits>
#include <numeric>
#include <random>

namespace pellucid {
namespace {

constexpr std::size_t kBlock = 4096;
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNoBound = std::numeric_limits<float>::quiet_NaN();

// f(place) for each place from low up to high, rising; a block at a time, and low may change between blocks.
template <class Function, class Ended>
void each_between(const Kernels& kernels, const float* x, std::size_t n, const float& low, float high,
                  Function f, Ended block_ended) {
    std::uint32_t found[kBlock];
    for (std::size_t start = 0; start < n; start += kBlock) {
        std::size_t count = kernels.between(x + start, std::min(kBlock, n - start), low, high, found);
        for (std::size_t i = 0; i < count; i++) f(static_cast<std::int64_t>(start + found[i]));
        block_ended();
    }
}

// The least number above; NaN, which no number reaches, where there is none.
float next(float x) { return x < kInfinity ? std::nextafter(x, kInfinity) : kNoBound; }

}  // namespace

std::pair<float, double> weigh(const Kernels& kernels, const float* scores, std::size_t n, float* weights) {
    float most = kernels.most(scores, n);
    // Where nothing is left, a shift of zero keeps infinity from being taken from itself.
    return {most, kernels.weigh(scores, n, most == -kInfinity ? 0.0f : most, weights)};
}

Places between(const Kernels& kernels, const float* scores, std::size_t n, float low, float high) {
    Places places;
    each_between(kernels, scores, n, low, high, [&](std::int64_t p) { places.push_back(p); }, [] {});
    return places;
}

std::pair<std::size_t, Places> ranks(const Kernels& kernels, const float* scores, std::size_t n, const float* some, std::size_t count) {
    std::vector<float> marks;
    std::copy_if(some, some + count, std::back_inserter(marks), [](float s) { return s > -kInfinity; });
    std::sort(marks.begin(), marks.end(), std::greater<float>());
    const float thresholds[2] = {next(-kInfinity), marks.empty() ? kNoBound : next(marks.back())};
    std::size_t reached[2];
    kernels.reach(scores, n, thresholds, reached);
    Places ranks(count);
    if (marks.empty()) return {reached[0], ranks};
    // The last may be a rare token, which nearly all are above; above the others there are few.
    Places over(marks.size());
    auto passed = [&](float s) { return std::upper_bound(marks.begin(), marks.end() - 1, s, std::greater<float>()) - marks.begin(); };
    if (marks.size() > 1)
        each_between(kernels, scores, n, marks[marks.size() - 2], kNoBound,
                     [&](std::int64_t p) { over[passed(scores[p])]++; }, [] {});
    std::partial_sum(over.begin(), over.end(), over.begin());
    over.back() = static_cast<std::int64_t>(reached[1]);
    for (std::size_t i = 0; i < count; i++)
        if (some[i] > -kInfinity)
            ranks[i] = 1 + over[std::lower_bound(marks.begin(), marks.end(), some[i], std::greater<float>()) - marks.begin()];
    return {reached[0], ranks};
}

Places leading(const Kernels& kernels, const float* scores, std::size_t n, std::size_t k) {
    if (k == 0) return {};
    auto before = [scores](std::int64_t a, std::int64_t b) {
        return scores[a] > scores[b] || (scores[a] == scores[b] && a < b);
    };
    k = std::min(k, n);
    Places kept;
    float low = -std::numeric_limits<float>::max();
    auto cut = [&] {
        if (kept.size() <= k) return;
        std::nth_element(kept.begin(), kept.begin() + (k - 1), kept.end(), before);
        kept.resize(k);
        // What comes later must be above the last of them: of equals the earlier one leads.
        low = next(scores[kept.back()]);
    };
    each_between(kernels, scores, n, low, kNoBound, [&](std::int64_t p) { kept.push_back(p); },
                 [&] { if (kept.size() >= 2 * k) cut(); });     // not sooner: so all cuts cost O(n)
    cut();
    std::sort(kept.begin(), kept.end(), before);
    return kept;
}

Places shuffled(std::uint32_t seed, std::size_t n, std::size_t count) {
    std::mt19937 random(seed);
    std::vector<std::uint32_t> order(n);
    std::iota(order.begin(), order.end(), 0u);
    count = std::min(count, n);
    for (std::size_t i = 0; i < count; i++) std::swap(order[i], order[i + random() % (n - i)]);
    return Places(order.begin(), order.begin() + count);
}

}  // namespace pellucid
