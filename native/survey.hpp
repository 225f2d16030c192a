// A row of scores, and what one pass over it found of each few of them: what is asked of the highest
// then looks at those blocks alone where they are.
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <vector>

#include "vocabulary.hpp"

namespace pellucid {

// What one look at each block of a row finds. Blocks are looked at by themselves, in any order, by
// whoever has just computed them.
struct Found {
    static constexpr std::size_t kBlock = 1024;     // one sum each: that of `weigh` adds as many up in float32
    static constexpr std::size_t kPart = 128;       // one highest score each
    static constexpr std::size_t kParts = kBlock / kPart;

    Found(const Kernels& kernels, std::size_t n)
        : kernels(&kernels), sums(blocks(n)), tops(blocks(n)), highest(blocks(n) * kParts, -std::numeric_limits<float>::infinity()), alive(blocks(n)) {}
    static std::size_t blocks(std::size_t n) { return (n + kBlock - 1) / kBlock; }
    // At one block, of n scores.
    void look(std::size_t block, const float* scores, std::size_t n);
    // At one part; how many of it are above minus infinity.
    std::size_t look_at_part(std::size_t part, const float* scores, std::size_t n) { return kernels->peak(scores, n, &highest[part]); }
    void conclude(std::size_t block) { kernels->peak(&highest[block * kParts], kParts, &tops[block]); }     // from its parts
    // What is weighed beside: a shift of zero keeps infinity from being taken from itself.
    float top(std::size_t block) const { return tops[block] == -std::numeric_limits<float>::infinity() ? 0.0f : tops[block]; }

    const Kernels* kernels;                         // which go on with what they found
    // [blocks] of e^(score - top), so that another highest score elsewhere does not change them; NaN while
    // not computed, or empty.
    std::vector<double> sums;
    std::vector<float> tops, highest;               // [blocks] and [parts]; NaN where one is
    std::vector<std::uint32_t> alive;               // [blocks] above minus infinity
};

class Survey {
public:
    using Memory = std::shared_ptr<float[]>;
    // The scores must outlive it, and all that are made of it.
    Survey(const Kernels& kernels, const float* scores, std::size_t n);
    Survey(const Kernels& kernels, Memory scores, std::size_t n);
    // Of scores whose blocks were all looked at.
    Survey(const float* scores, std::size_t n, Found found);
    // Scores that differ at some places, all below n; of a place that is there more than once, by the last.
    Survey changed(const std::int64_t* places, const float* scores, std::size_t count);
    // All scores divided by a number above 0, and no infinity; each is when it is looked at. None that is left becomes
    // minus infinity, however far it is below the others.
    Survey divided(float by);

    const Kernels& kernels() const { return *found_.kernels; }
    std::size_t size() const { return n_; }
    // The highest score; NaN if one is, minus infinity where none is left.
    float most() const { return most_; }
    // How many scores are above minus infinity.
    std::size_t left() const { return left_; }
    // The sums of e^(score - most), of blocks of kBlock scores; computed when first asked for.
    std::vector<double> sums();
    // The sum of these in order.
    double total();
    double logsumexp() { return most_ + std::log(total()); }
    // What of the softmax these places have.
    double mass(const std::int64_t* places, std::size_t count);
    // What of it all earlier places have.
    double below(std::size_t place);
    // What of `before`'s softmax those scores have that are minus infinity here.
    double lost_of(Survey& before);
    // The first place at which the running sum of the softmax exceeds `uniform`; one must be left.
    std::size_t drawn(double uniform);
    // The lowest of the fewest highest scores that make up this part of the softmax; none if those are
    // more than kSorted.
    std::optional<float> nucleus(double part);
    float operator[](std::size_t place) const;
    void copy(float* out) const;
    // The scores that this was made of, unless some were changed since, or divided; else null.
    const float* row() const { return n_ && changes_.empty() && row_->by == 1 && !row_->own ? row_->scores : nullptr; }
    // Places of the k highest scores, highest first, the earlier of equals first; without minus infinity.
    Places leading(std::size_t k);
    // The score of the last of these; none where fewer than k are left.
    std::optional<float> least(std::size_t k);
    // Of `some`, each one's rank: one more than how many are above it, 0 for minus infinity and NaN.
    Places ranks(const float* some, std::size_t count);
    // Places of the scores from edge on, rising.
    Places at_least(float edge);

    static constexpr std::size_t kSorted = 4096;    // more are found sooner by other means than sorting
    static constexpr float kFarthest = 104;         // below the highest nothing weighs anything
    static constexpr float kNear = 64;              // up to there a quotient's rounding is some millionths of its exponential

private:
    static constexpr std::size_t kBlock = Found::kBlock, kPart = Found::kPart, kParts = Found::kParts;
    static constexpr float kLowest = -std::numeric_limits<float>::max();
    static constexpr std::int64_t kNoPlace = std::numeric_limits<std::int64_t>::max();      // behind all

    // Scores that all share which were made of it.
    struct Row {
        const float* scores;
        Memory own;                                 // where they lie in, if that is ours
        float by = 1;                               // what they are still to be divided by
        std::vector<float> tops;                    // [blocks] before they are, if they are
        // All from `edge` on, in no order, once some are: what ranks are counted in.
        std::vector<float> high;
        float edge = std::numeric_limits<float>::infinity();
    };
    struct Change {                                 // of a score of the row
        std::int64_t place;
        float before, after;
        bool operator<(std::int64_t other) const { return place < other; }
    };
    using Changes = std::vector<Change>;

    struct Leader {
        float score = std::numeric_limits<float>::infinity();
        std::int64_t place = -1;
        // Of equal scores the earlier leads.
        bool operator<(const Leader& o) const { return score > o.score || (score == o.score && place < o.place); }
    };

    static float quotient(float score, float by) {  // by 1 without rounding
        return score >= kLowest ? std::max(score / by, kLowest) : score;
    }
    // The highest scores in their order, k if there are so many; more where that is no more work.
    const std::vector<Leader>& leaders(std::size_t k);
    void find_leaders(std::size_t k);
    bool all_lead() const { return edge_.score == kLowest && edge_.place == kNoPlace; }
    Changes::const_iterator changes(std::size_t from) const { return std::lower_bound(changes_.begin(), changes_.end(), static_cast<std::int64_t>(from)); }
    bool changed(Changes::const_iterator from, std::size_t stop) const { return from != changes_.end() && from->place < static_cast<std::int64_t>(stop); }
    // n scores, of which none before `from` is changed: where they are, or in `room`.
    const float* read(std::size_t start, std::size_t n, Changes::const_iterator from, float* room) const;
    const float* read(std::size_t start, std::size_t n, float* room) const { return read(start, n, changes(start), room); }
    // How many are above `mark`: counted among the highest of the row, if these reach so far.
    std::size_t above(float mark) const;
    void look_down_to(float edge);                  // all of the row from there on are in `high`
    double scale(std::size_t block) const;          // of its sum to that of all
    std::size_t length(std::size_t block) const { return std::min(kBlock, n_ - block * kBlock); }
    void conclude();                                // from all blocks
    void look_again(const Changes& fresh);          // at what these have touched
    void weigh();                                   // all blocks, if they are not yet
    double weigh(std::size_t block, std::size_t n, float* weights) const;    // the first n of it
    // f(first place, scores, count) for each part that may have a score from edge on, which may rise meanwhile.
    template <class Function>
    void each_part(const float& edge, Function f) const;
    // f(place, score) for each score from edge on, by rising places.
    template <class Function, class Ended>
    void each(const float& edge, Function f, Ended part_ended) const;
    float bound(std::size_t k) const;               // that at least k scores reach

    std::size_t n_ = 0;
    float most_ = 0;
    std::size_t left_ = 0;
    std::shared_ptr<Row> row_;
    Changes changes_;                               // by rising places
    Found found_;                                   // of what the scores are now
    std::vector<double> weighed_;                   // the sums as they were last added up, one by one
    // All that do not come behind `edge_`, in order: what leads is asked for again and again, of this and
    // of what is made of it.
    std::vector<Leader> leaders_;
    Leader edge_;                                   // at first before all
    std::optional<double> total_;
};

}  // namespace pellucid
