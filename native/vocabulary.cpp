#include "vocabulary.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

namespace pellucid {
namespace {

constexpr std::size_t kBlock = 4096;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

}  // namespace

std::pair<float, double> weigh(const Kernels& kernels, const float* scores, std::size_t n, float* weights) {
    float most;
    kernels.peak(scores, n, &most);
    // Where nothing is left, a shift of zero keeps infinity from being taken from itself.
    return {most, kernels.weigh(scores, n, most == -kInfinity ? 0.0f : most, 1, weights)};
}

Places distinct(Places places) {
    if (!std::is_sorted(places.begin(), places.end())) std::sort(places.begin(), places.end());
    places.erase(std::unique(places.begin(), places.end()), places.end());
    return places;
}

Places between(const Kernels& kernels, const float* scores, std::size_t n, float low, float high) {
    Places places;
    std::uint32_t found[kBlock];
    for (std::size_t start = 0; start < n; start += kBlock) {
        std::size_t count = kernels.between(scores + start, std::min(kBlock, n - start), low, high, found);
        for (std::size_t i = 0; i < count; i++) places.push_back(static_cast<std::int64_t>(start + found[i]));
    }
    return places;
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
