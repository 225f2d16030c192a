// Passes over the scores of a whole vocabulary: what choosing a token needs of them.
#pragma once
#include <utility>
#include <vector>

#include "kernels.hpp"

namespace pellucid {

using Places = std::vector<std::int64_t>;

// The largest score, and the sum of e^(score - largest): nothing where no score is above minus infinity.
std::pair<float, double> weigh(const Kernels&, const float* scores, std::size_t n, float* weights);
// Rising, and each once.
Places distinct(Places places);
// Places of the scores from low up to but not including high, rising; a high of NaN is no bound.
Places between(const Kernels&, const float* scores, std::size_t n, float low, float high);
// The first `count` of the numbers below n, shuffled as PyTorch's randperm does on a CPU with this seed.
Places shuffled(std::uint32_t seed, std::size_t n, std::size_t count);

}  // namespace pellucid
