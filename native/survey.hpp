// A row of scores, and what one pass over it found of each few of them: what is asked of the highest
// then looks at those blocks alone where they are.
#pragma once
#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "vocabulary.hpp"

namespace pellucid {

class Survey {
public:
    // The scores must outlive it, and all that are made of it.
    Survey(const Kernels& kernels, const float* scores, std::size_t n);
    // Scores that differ at some places, all below n. What is in other blocks is shared.
    Survey changed(const std::int64_t* places, const float* scores, std::size_t count);
    // All scores divided by a number, into `out`, which must outlive the survey.
    Survey divided(float by, float* out) const;

    std::size_t size() const { return n_; }
    // The highest score; NaN if one is, minus infinity where none is left.
    float most() const { return most_; }
    // How many scores are above minus infinity.
    std::size_t left() const { return left_; }
    // The sums of e^(score - most), of blocks of kBlock scores; computed when first asked for.
    const std::vector<double>& sums();
    // The sum of these in order, which is that of `weigh`.
    double total();
    double logsumexp() { return most_ + std::log(total()); }
    float operator[](std::size_t place) const { return blocks_[place / kBlock][place % kBlock]; }
    void copy(float* out) const;
    // Places of the k highest scores, highest first, the earlier of equals first; without minus infinity.
    Places leading(std::size_t k) const;
    // Of `some`, each one's rank: one more than how many are above it, 0 for minus infinity and NaN.
    Places ranks(const float* some, std::size_t count) const;
    // Places of the scores from edge on, rising.
    Places at_least(float edge) const;

    static constexpr std::size_t kBlock = 1024;     // one sum each: that of `weigh` adds as many up in float32

private:
    static constexpr std::size_t kPart = 256;       // one highest score each
    static constexpr std::size_t kParts = kBlock / kPart;

    explicit Survey(const Kernels& kernels) : kernels_(&kernels) {}
    std::size_t length(std::size_t block) const { return std::min(kBlock, n_ - block * kBlock); }
    void look(std::size_t block);                   // at its parts
    void conclude();                                // from all parts
    double weigh(std::size_t block) const;
    // f(first place, scores, count) for each part that may have a score from edge on, which may rise meanwhile.
    template <class Function>
    void each_part(const float& edge, Function f) const;
    // f(place, score) for each score from edge on, by rising places.
    template <class Function, class Ended>
    void each(const float& edge, Function f, Ended part_ended) const;
    float bound(std::size_t k) const;               // that at least k scores reach

    const Kernels* kernels_;
    std::size_t n_ = 0;
    float most_ = 0;
    std::size_t left_ = 0;
    std::vector<const float*> blocks_;
    std::vector<std::shared_ptr<std::vector<float>>> own_;   // what blocks point to that were changed
    std::vector<float> highest_;                    // [parts]
    std::vector<std::uint32_t> alive_;              // [parts]
    std::vector<double> sums_;                      // [blocks], or empty while not computed
};

}  // namespace pellucid
