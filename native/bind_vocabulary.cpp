// What Python sees of candidates, and of a whole vocabulary's passes.
#include "bind.hpp"

#include <nanobind/stl/array.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <utility>

#include "candidates.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace pellucid {
namespace {

template <class Number>
using Array = nb::ndarray<Number, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Scores = Array<const float>;
using Row = nb::typed<nb::object, Scores>;
using Tokens = Array<const std::int64_t>;
template <class Number>
using Given = nb::ndarray<nb::numpy, Number, nb::ndim<1>>;

template <class Number>
Given<Number> given(std::vector<Number>&& numbers) {
    auto* kept = new std::vector<Number>(std::move(numbers));
    nb::capsule owner(kept, [](void* p) noexcept { delete static_cast<std::vector<Number>*>(p); });
    return Given<Number>(kept->data(), {kept->size()}, owner);
}

template <class A, class B>
void check_alike(const A& a, const B& b) {
    if (a.shape(0) != b.shape(0)) throw std::invalid_argument("arrays of different lengths");
}

// Candidates, and what keeps their scores. The interpreter's lock is held throughout, and guards what is
// found out later: beside a thread that wants it too, passes this short are no faster when they give it away.
class Held {
public:
    Held(Row scores, const std::optional<Tokens>& ids) : Held(scores, rising(ids)) {}
    // `row` is what the scores lie in, unless they are the candidates' own.
    Held(nb::object row, Candidates&& made) : row_(std::move(row)), made_(std::move(made)) {}
    // The same tokens with other scores.
    Held rescored(Row others) const {
        Held made(others, made_.ids());
        if (made.made_.size() != made_.size()) throw std::invalid_argument("scores of other tokens");
        return made;
    }
    Held with(Candidates&& made) const {
        Held other(row_, std::move(made));
        other.held_ = held_;
        return other;
    }

    Candidates& operator*() { return made_; }
    Candidates* operator->() { return &made_; }

    nb::object scores() {
        if (!scores_) {
            const float* row = made_.survey().row();
            scores_ = row ? nb::cast(nb::ndarray<nb::numpy, const float, nb::ndim<1>>(row, {made_.size()}, row_)) : copied();
        }
        return scores_;
    }
    std::optional<Given<std::int64_t>> ids() const {
        if (!made_.ids()) return std::nullopt;
        return given(Places(*made_.ids()));
    }

private:
    Held(const Row& scores, Candidates::Ids ids)
        : row_(scores), scores_(scores), held_(held(scores)), made_(surveyed(held_, ids.get()), ids) {}

    static Scores held(const Row& scores) {
        Scores row;
        if (!nb::try_cast(scores, row, false)) throw nb::type_error("scores must be an array of float32 in one piece");
        return row;
    }
    static Survey surveyed(const Scores& row, const Places* ids) {
        const std::size_t n = row.shape(0);
        if (ids && ids->size() != n) throw std::invalid_argument("scores of other tokens");
        return {*kernels(""), row.data(), n};
    }
    nb::object copied() {
        std::vector<float> all(made_.size());
        made_.survey().copy(all.data());
        return nb::cast(given(std::move(all)));
    }
    static Candidates::Ids rising(const std::optional<Tokens>& ids) {
        if (!ids) return nullptr;
        auto places = std::make_shared<const Places>(ids->data(), ids->data() + ids->shape(0));
        for (std::size_t i = 1; i < places->size(); i++)
            if ((*places)[i] <= (*places)[i - 1]) throw std::invalid_argument("ids that do not rise");
        return places;
    }

    nb::object row_;        // the array that these scores are in, or were before some were changed
    nb::object scores_;     // all of them, once they were asked for
    Scores held_;           // `row_` as it was given, so that it stays where it is
    Candidates made_;
};

std::vector<float> scores_of(const Candidates& of, const std::int64_t* tokens, std::size_t count) {
    std::vector<float> scores(count);
    std::transform(tokens, tokens + count, scores.begin(), [&](std::int64_t token) { return of.score(token); });
    return scores;
}
std::vector<float> scores_of(const Candidates& of, const Tokens& tokens) { return scores_of(of, tokens.data(), tokens.shape(0)); }

Given<double> shares(std::vector<float>&& scores, double logsumexp) {
    std::vector<double> probs(scores.size());
    std::transform(scores.begin(), scores.end(), probs.begin(), [=](float score) { return std::exp(score - logsumexp); });
    return given(std::move(probs));
}

// Those at these places; the same object where that is all that are left.
nb::object kept(nb::handle_t<Held> self, const Places& places) {
    Held& of = nb::cast<Held&>(self);
    if (places.size() == of->survey().left()) return nb::borrow(self);
    return nb::cast(Held(nb::object(), of->keep(places)));
}

// The same object where nothing is changed.
template <class Function>
nb::object altered(nb::handle_t<Held> self, const Tokens& tokens, Function f) {
    if (!tokens.shape(0)) return nb::borrow(self);
    Held& of = nb::cast<Held&>(self);
    return nb::cast(of.with(f(*of, tokens.data(), tokens.shape(0))));
}

Places at_least(const Kernels& kernels, const Scores& keys, float edge) {
    return between(kernels, keys.data(), keys.shape(0), edge, std::numeric_limits<float>::quiet_NaN());
}

std::tuple<std::array<double, kTails>, std::array<std::size_t, kTails>> tails(
        Scores keys, Scores weights, const std::array<float, kTails>& thresholds) {
    check_alike(keys, weights);
    const Kernels* table = kernels("");
    std::array<double, kTails> sums{};
    std::array<std::size_t, kTails> counts{};
    nb::gil_scoped_release free;
    table->tails(keys.data(), weights.data(), keys.shape(0), thresholds.data(), sums.data(), counts.data());
    return {sums, counts};
}

// What became of some tokens, step by step. Python asks for what is told of a step when somebody reads it.
class Followed {
public:
    // Those who lead before the first and after the last step, and the token that was chosen.
    Followed(const std::vector<std::pair<nb::object, Held*>>& steps, std::int64_t token, std::size_t size, bool drawn) {
        std::vector<Candidates*> all;
        for (const auto& [name, held] : steps) {
            if (!held) throw nb::type_error("a step without candidates");
            all.push_back(&**held);
        }
        if (all.empty()) throw std::invalid_argument("no steps");
        ids_ = all.front()->leading(size);
        Places known = ids_;
        std::sort(known.begin(), known.end());
        for (std::int64_t other : all.back()->leading(size))
            if (!std::binary_search(known.begin(), known.end(), other)) ids_.push_back(other);
        if (std::find(ids_.begin(), ids_.end(), token) == ids_.end()) ids_.push_back(token);
        steps_.resize(all.size());
        // The last first, where tokens have fallen farthest: what is looked up for them serves the others.
        for (std::size_t i = all.size(); i-- > 0;) {
            steps_[i] = i + 1 < all.size() && all[i] == all[i + 1] ? steps_[i + 1] : told(*all[i]);
            steps_[i].name = steps[i].first;
            steps_[i].removed = i ? lost(*all[i], *all[i - 1]) : 0;
        }
        if (drawn) below_ = all.back()->below(token);
    }

    Given<std::int64_t> ids() const { return given(Places(ids_)); }
    std::optional<double> below() const { return below_; }
    nb::list entries() const {
        nb::list all;
        for (const Step& s : steps_)
            all.append(nb::make_tuple(s.name, given(std::vector<float>(s.scores)), given(Places(s.ranks)), s.logsumexp, s.left, s.removed));
        return all;
    }

private:
    struct Step {
        nb::object name;
        std::vector<float> scores;
        Places ranks;
        double logsumexp;
        std::size_t left;
        double removed;         // what those had before who are not left after this
    };

    Step told(Candidates& now) const {
        Survey& survey = now.survey();
        std::vector<float> scores = scores_of(now, ids_.data(), ids_.size());
        Places ranks = survey.ranks(scores.data(), scores.size());
        return {{}, std::move(scores), std::move(ranks), survey.logsumexp(), survey.left(), 0};
    }
    static double lost(Candidates& now, Candidates& before) {
        const bool all = now.ids() == before.ids() && now.survey().left() == before.survey().left();
        return all ? 0 : now.lost_of(before);
    }

    Places ids_;
    std::vector<Step> steps_;
    std::optional<double> below_;
};

void bind_candidates(nb::module_& m) {
    nb::class_<Held>(m, "Candidates", "Tokens that may be chosen, and their scores; see pellucid.choose.candidates.")
        .def(nb::init<Row, const std::optional<Tokens>&>(), "scores"_a, "ids"_a = nb::none())
        .def_prop_ro("ids", &Held::ids, nb::rv_policy::automatic)
        .def_prop_ro("scores", &Held::scores)
        .def_prop_ro("size", [](Held& c) { return c->size(); })
        .def_prop_ro("count", [](Held& c) { return c->survey().left(); })
        .def_prop_ro("empty", [](Held& c) { return !c->survey().left(); })
        .def_prop_ro("alive", [](Held& c) { return given(c->alive()); }, nb::rv_policy::automatic)
        .def_prop_ro("most", [](Held& c) { return c->survey().most(); })
        .def_prop_ro("total", [](Held& c) { return c->survey().total(); })
        .def_prop_ro("logsumexp", [](Held& c) { return c->survey().logsumexp(); })
        .def_prop_ro("likeliest", [](Held& c) {
            if (c->survey().left() == 0) throw std::invalid_argument("no token is left");
            return c->leading(1)[0];
        })
        .def("leading", [](Held& c, std::size_t k) { return given(c->leading(k)); }, "k"_a)
        .def("least", [](Held& c, std::size_t k) -> std::optional<float> { return c->survey().least(k); }, "k"_a)
        .def("at_least", [](Held& c, float edge) { return given(c->tokens(c->survey().at_least(edge))); }, "edge"_a)
        .def("nucleus", [](Held& c, double part) { return c->survey().nucleus(part); }, "part"_a)
        .def("drawn", [](Held& c, double uniform) { return c->token(c->survey().drawn(uniform)); }, "uniform"_a)
        .def("prob", [](Held& c, std::int64_t token) { return c->prob(token); }, "token"_a)
        .def("rank", [](Held& c, std::int64_t token) { return c->rank(token); }, "token"_a)
        .def("ranks", [](Held& c, Scores some) { return given(c->survey().ranks(some.data(), some.shape(0))); }, "some"_a.noconvert())
        .def("probs", [](Held& c) {
            std::vector<float> all(c->size());
            c->survey().copy(all.data());
            return shares(std::move(all), c->survey().logsumexp());
        })
        .def("probs_of", [](Held& c, Tokens tokens) { return shares(scores_of(*c, tokens), c->survey().logsumexp()); }, "tokens"_a)
        .def("scores_of", [](Held& c, Tokens tokens) { return given(scores_of(*c, tokens)); }, "tokens"_a)
        .def("mass", [](Held& c, Tokens tokens) { return c->mass(tokens.data(), tokens.shape(0)); }, "tokens"_a)
        .def("lost_of", [](Held& c, Held& before) { return c->lost_of(*before); }, "before"_a)
        .def("sums", [](Held& c) { return given(c->survey().sums()); })
        .def("dense", [](Held& c, std::size_t vocab_size) {
            std::vector<float> all(vocab_size);
            c->dense(all.data(), vocab_size);
            return given(std::move(all));
        }, "vocab_size"_a)
        .def("rescored", &Held::rescored, "scores"_a)
        .def("divided", [](Held& c, float by) {
            if (!(by > 0 && by <= std::numeric_limits<float>::max())) throw std::invalid_argument("not divided by a number above 0");
            return c.with(c->divided(by));
        }, "by"_a)
        .def("changed", [](nb::handle_t<Held> self, Tokens tokens, Scores others) {
            check_alike(tokens, others);
            return altered(self, tokens, [&](Candidates& c, auto of, auto count) { return c.changed(of, others.data(), count); });
        }, "tokens"_a, "scores"_a.noconvert())
        .def("penalised", [](nb::handle_t<Held> self, Tokens tokens, float by) {
            return altered(self, tokens, [&](Candidates& c, auto of, auto count) { return c.penalised(of, count, by); });
        }, "tokens"_a, "by"_a)
        .def("lowered", [](nb::handle_t<Held> self, Tokens tokens, float each, float once) {
            return altered(self, tokens, [&](Candidates& c, auto of, auto count) { return c.lowered(of, count, each, once); });
        }, "tokens"_a, "each"_a = 0.0f, "once"_a = 0.0f)
        .def("without", [](nb::handle_t<Held> self, Tokens tokens) {
            const std::vector<float> removed(tokens.shape(0), -std::numeric_limits<float>::infinity());
            return altered(self, tokens, [&](Candidates& c, auto of, auto count) { return c.changed(of, removed.data(), count); });
        }, "tokens"_a)
        .def("keep", [](Held& c, Tokens tokens) {
            Places places;
            for (std::size_t i = 0; i < tokens.shape(0); i++)
                if (const auto place = c->place(tokens.data()[i])) places.push_back(*place);
            return Held(nb::object(), c->keep(std::move(places)));
        }, "tokens"_a)
        .def("above", [](nb::handle_t<Held> self, float edge) {
            return kept(self, nb::cast<Held&>(self)->survey().at_least(edge));
        }, "edge"_a)
        .def("reaching", [](Held& c, Scores keys, float edge) {
            if (keys.shape(0) != c->size()) throw std::invalid_argument("arrays of different lengths");
            return Held(nb::object(), c->keep(at_least(c->survey().kernels(), keys, edge)));
        }, "keys"_a.noconvert(), "edge"_a)
        .def("where", [](Held& c, Array<const bool> which) {
            if (which.shape(0) != c->size()) throw std::invalid_argument("arrays of different lengths");
            Places places;
            for (std::size_t i = 0; i < which.shape(0); i++)
                if (which.data()[i]) places.push_back(static_cast<std::int64_t>(i));
            return Held(nb::object(), c->keep(std::move(places)));
        }, "which"_a);
}

}  // namespace

nb::object candidates(nb::handle array, const float* scores, std::size_t n, Found found) {
    return nb::cast(Held(nb::borrow(array), Candidates(Survey(scores, n, std::move(found)), nullptr)));
}

void bind_vocabulary(nb::module_& m) {
    nb::class_<Followed>(m, "Followed")
        .def(nb::init<const std::vector<std::pair<nb::object, Held*>>&, std::int64_t, std::size_t, bool>(), "steps"_a, "token"_a, "size"_a, "drawn"_a)
        .def_prop_ro("ids", &Followed::ids, nb::rv_policy::automatic)
        .def_prop_ro("below", &Followed::below)
        .def("entries", &Followed::entries);
    bind_candidates(m);
    m.def("weigh", [](Scores scores, std::optional<Array<float>> weights) {
        const Kernels* table = kernels("");
        if (weights) check_alike(scores, *weights);
        nb::gil_scoped_release free;
        return weigh(*table, scores.data(), scores.shape(0), weights ? weights->data() : nullptr);
    }, "scores"_a.noconvert(), "weights"_a.none());
    m.def("between", [](Scores scores, float low, float high) {
        const Kernels* table = kernels("");
        Places places;
        {
            nb::gil_scoped_release free;
            places = between(*table, scores.data(), scores.shape(0), low, high);
        }
        return given(std::move(places));
    }, "scores"_a.noconvert(), "low"_a, "high"_a);
    m.def("shuffled", [](std::uint32_t seed, std::size_t n, std::size_t count) {
        if (n > std::numeric_limits<std::uint32_t>::max()) throw std::invalid_argument("n");
        Places places;
        {
            nb::gil_scoped_release free;
            places = shuffled(seed, n, count);
        }
        return given(std::move(places));
    }, "seed"_a, "n"_a, "count"_a);
    m.def("tails", &tails, "keys"_a.noconvert(), "weights"_a.noconvert(), "thresholds"_a);
}

}  // namespace pellucid
