// What may be chosen: tokens and their scores, surveyed. Nothing here is ever changed in place.
#pragma once
#include <memory>
#include <optional>
#include <utility>

#include "survey.hpp"

namespace pellucid {

// A token that was removed has minus infinity, or is not here any more: which of the two is a matter of
// speed alone. Where tokens are asked for, those that are not here have minus infinity too.
class Candidates {
public:
    // Rising; null is the whole vocabulary, token i at place i.
    using Ids = std::shared_ptr<const Places>;

    Candidates(Survey survey, Ids ids) : survey_(std::move(survey)), ids_(std::move(ids)) {}

    Survey& survey() { return survey_; }
    const Ids& ids() const { return ids_; }
    std::size_t size() const { return survey_.size(); }
    std::int64_t token(std::int64_t place) const { return ids_ ? (*ids_)[place] : place; }
    std::optional<std::int64_t> place(std::int64_t token) const;
    float score(std::int64_t token) const;
    double prob(std::int64_t token);
    std::int64_t rank(std::int64_t token);
    Places leading(std::size_t k) { return tokens(survey_.leading(k)); }
    // Those that are left; rising.
    Places alive() const;
    // Of the softmax, what these tokens have; and what of `before`'s those have that are not left here.
    double mass(const std::int64_t* tokens, std::size_t count);
    double lost_of(Candidates& before);
    // What of the softmax all tokens before this one have, in order of ids.
    double below(std::int64_t token);
    // The scores of the whole vocabulary.
    void dense(float* out, std::size_t vocab_size) const;

    // Scores above 0 of these tokens divided, those below multiplied; or lowered by `once`, and by `each`
    // for every time that a token is there.
    Candidates penalised(const std::int64_t* tokens, std::size_t count, float by);
    Candidates lowered(const std::int64_t* tokens, std::size_t count, float each, float once);
    // The same tokens, some with other scores.
    Candidates changed(const std::int64_t* tokens, const float* scores, std::size_t count);
    Candidates divided(float by) { return {survey_.divided(by), ids_}; }
    // The tokens at these places, in any order. When they are a fourth of all or fewer, the others are dropped.
    Candidates keep(Places places) const;

    Places tokens(Places places) const;

private:
    Places places(const std::int64_t* tokens, std::size_t count) const;     // of those that are here
    template <class Function>
    Candidates changed(const Places& places, Function f);                   // f(place) is a new score

    Survey survey_;
    Ids ids_;
};

}  // namespace pellucid
