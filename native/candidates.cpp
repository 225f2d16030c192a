#include "candidates.hpp"

#include <limits>
#include <stdexcept>

namespace pellucid {
namespace {

constexpr float kRemoved = -std::numeric_limits<float>::infinity();

}  // namespace

std::optional<std::int64_t> Candidates::place(std::int64_t token) const {
    if (!ids_) return 0 <= token && token < static_cast<std::int64_t>(size()) ? std::optional(token) : std::nullopt;
    const auto at = std::lower_bound(ids_->begin(), ids_->end(), token);
    return at != ids_->end() && *at == token ? std::optional(at - ids_->begin()) : std::nullopt;
}

float Candidates::score(std::int64_t token) const {
    const auto at = place(token);
    return at ? survey_[*at] : kRemoved;
}

double Candidates::prob(std::int64_t token) {
    const auto at = place(token);
    return at ? std::exp(survey_[*at] - survey_.logsumexp()) : 0.0;
}

std::int64_t Candidates::rank(std::int64_t token) {
    const float of = score(token);
    return survey_.ranks(&of, 1)[0];
}

Places Candidates::tokens(Places places) const {
    if (ids_)
        for (std::int64_t& place : places) place = (*ids_)[place];
    return places;
}

Places Candidates::alive() const {
    if (ids_ && survey_.left() == size()) return *ids_;
    std::vector<float> scores(size());
    survey_.copy(scores.data());
    Places places;
    places.reserve(survey_.left());
    for (std::size_t i = 0; i < scores.size(); i++)
        if (scores[i] > kRemoved) places.push_back(static_cast<std::int64_t>(i));
    return tokens(std::move(places));
}

double Candidates::mass(const std::int64_t* tokens, std::size_t count) {
    const Places here = places(tokens, count);
    return survey_.mass(here.data(), here.size());
}

double Candidates::lost_of(Candidates& before) {
    if (ids_ == before.ids_ && size() == before.size()) return survey_.lost_of(before.survey_);
    const Places left = alive();
    return std::max(0.0, 1 - before.mass(left.data(), left.size()));
}

double Candidates::below(std::int64_t token) {
    const auto place = ids_ ? std::lower_bound(ids_->begin(), ids_->end(), token) - ids_->begin() : token;
    return survey_.below(std::clamp<std::int64_t>(place, 0, size()));
}

void Candidates::dense(float* out, std::size_t vocab_size) const {
    if (!ids_) {
        if (size() != vocab_size) throw std::invalid_argument("a vocabulary of another size");
        return survey_.copy(out);
    }
    if (size() && (ids_->front() < 0 || static_cast<std::size_t>(ids_->back()) >= vocab_size))
        throw std::invalid_argument("a vocabulary without some of these tokens");
    std::fill_n(out, vocab_size, kRemoved);
    for (std::size_t i = 0; i < size(); i++) out[(*ids_)[i]] = survey_[i];
}

Places Candidates::places(const std::int64_t* tokens, std::size_t count) const {
    Places here;
    here.reserve(count);
    for (std::size_t i = 0; i < count; i++)
        if (const auto at = place(tokens[i])) here.push_back(*at);
    return here;
}

template <class Function>
Candidates Candidates::changed(const Places& places, Function f) {
    std::vector<float> scores(places.size());
    std::transform(places.begin(), places.end(), scores.begin(), f);
    return {survey_.changed(places.data(), scores.data(), places.size()), ids_};
}

Candidates Candidates::penalised(const std::int64_t* tokens, std::size_t count, float by) {
    return changed(places(tokens, count), [&](std::int64_t place) {
        const float score = survey_[place];
        return score < 0 ? score * by : score / by;
    });
}

Candidates Candidates::lowered(const std::int64_t* tokens, std::size_t count, float each, float once) {
    Places sorted = places(tokens, count);
    std::sort(sorted.begin(), sorted.end());
    return changed(distinct(sorted), [&](std::int64_t place) {
        const auto [first, last] = std::equal_range(sorted.begin(), sorted.end(), place);
        return survey_[place] - (static_cast<float>(last - first) * each + once);
    });
}

Candidates Candidates::changed(const std::int64_t* tokens, const float* scores, std::size_t count) {
    Places places;
    std::vector<float> theirs;
    for (std::size_t i = 0; i < count; i++)
        if (const auto at = place(tokens[i])) {
            places.push_back(*at);
            theirs.push_back(scores[i]);
        }
    return {survey_.changed(places.data(), theirs.data(), places.size()), ids_};
}

Candidates Candidates::keep(Places places) const {
    places = distinct(std::move(places));
    const bool few = 4 * places.size() <= size();
    const std::size_t n = few ? places.size() : size();
    Survey::Memory scores(new float[n]);
    if (few) {
        std::transform(places.begin(), places.end(), scores.get(), [&](std::int64_t place) { return survey_[place]; });
        return {Survey(survey_.kernels(), scores, n), std::make_shared<const Places>(tokens(places))};
    }
    survey_.copy(scores.get());
    std::int64_t next = 0;
    for (std::int64_t place : places) {
        std::fill(scores.get() + next, scores.get() + place, kRemoved);
        next = place + 1;
    }
    std::fill(scores.get() + next, scores.get() + n, kRemoved);
    return {Survey(survey_.kernels(), scores, n), ids_};
}

}  // namespace pellucid
