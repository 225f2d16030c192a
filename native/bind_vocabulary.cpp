// What Python sees of a whole vocabulary's passes.
#include "bind.hpp"

#include <nanobind/stl/array.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>

#include <cmath>
#include <limits>
#include <stdexcept>
#include <utility>

#include "survey.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace pellucid {
namespace {

using Scores = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Out = nb::ndarray<float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Where = nb::ndarray<const std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <class Number>
using Given = nb::ndarray<nb::numpy, Number, nb::ndim<1>>;

template <class Number>
Given<Number> given(std::vector<Number>&& numbers) {
    auto* kept = new std::vector<Number>(std::move(numbers));
    nb::capsule owner(kept, [](void* p) noexcept { delete static_cast<std::vector<Number>*>(p); });
    return Given<Number>(kept->data(), {kept->size()}, owner);
}

template <class Array>
void check_alike(const Scores& a, const Array& b) {
    if (a.shape(0) != b.shape(0)) throw std::invalid_argument("arrays of different lengths");
}

// A survey, and what keeps its scores. The interpreter's lock is held throughout, and guards the sums:
// beside a thread that wants it too, passes this short are no faster when they give it away.
struct Surveyed {
    Scores scores;
    Survey survey;

    Surveyed(Scores row, const std::string& isa)
        : scores(row), survey(*kernels(isa), row.data(), row.shape(0)) {}
    // Of what was found while the scores were computed, which is used up.
    Surveyed(Scores row, Found& found) : scores(row), survey(row.data(), row.shape(0), taken(found, row.shape(0))) {}
    Surveyed(Scores row, Survey&& made) : scores(row), survey(std::move(made)) {}

    Surveyed changed(Where places, Scores others) {
        check_places(places);
        check_alike(others, places);
        return {scores, survey.changed(places.data(), others.data(), places.shape(0))};
    }
    Surveyed divided(float by) const { return {scores, survey.divided(by)}; }
    double lost_of(Surveyed& before) {
        if (survey.size() != before.survey.size()) throw std::invalid_argument("surveys of different lengths");
        return survey.lost_of(before.survey);
    }
    Given<float> at(Where places) const {
        check_places(places);
        std::vector<float> found(places.shape(0));
        for (std::size_t i = 0; i < found.size(); i++) found[i] = survey[places.data()[i]];
        return given(std::move(found));
    }
    double mass(Where places) {
        check_places(places);
        return survey.mass(places.data(), places.shape(0));
    }
    float score(std::size_t place) const {
        if (place >= survey.size()) throw std::out_of_range("place");
        return survey[place];
    }
    Given<float> dense() const {
        std::vector<float> all(survey.size());
        survey.copy(all.data());
        return given(std::move(all));
    }

private:
    static Found taken(Found& found, std::size_t n) {
        if (found.sums.size() != Found::blocks(n) || !n) throw std::invalid_argument("found in a row of another length, or taken before");
        return std::exchange(found, Found(*found.kernels, 0));
    }
    void check_places(const Where& places) const {
        for (std::size_t i = 0; i < places.shape(0); i++)
            if (static_cast<std::size_t>(places.data()[i]) >= survey.size()) throw std::out_of_range("place");
    }
};

std::tuple<std::array<double, kTails>, std::array<std::size_t, kTails>> tails(
        Scores keys, Scores weights, const std::array<float, kTails>& thresholds, const std::string& isa) {
    check_alike(keys, weights);
    const Kernels* table = kernels(isa);
    std::array<double, kTails> sums{};
    std::array<std::size_t, kTails> counts{};
    nb::gil_scoped_release free;
    table->tails(keys.data(), weights.data(), keys.shape(0), thresholds.data(), sums.data(), counts.data());
    return {sums, counts};
}

}  // namespace

void bind_vocabulary(nb::module_& m) {
    nb::class_<Found>(m, "Found");
    nb::class_<Surveyed>(m, "Survey")
        .def(nb::init<Scores, const std::string&>(), "scores"_a.noconvert(), "isa"_a)
        .def(nb::init<Scores, Found&>(), "scores"_a.noconvert(), "found"_a)
        .def_prop_ro("most", [](const Surveyed& s) { return s.survey.most(); })
        .def_prop_ro("size", [](const Surveyed& s) { return s.survey.size(); })
        .def_prop_ro("left", [](const Surveyed& s) { return s.survey.left(); })
        .def("total", [](Surveyed& s) { return s.survey.total(); })
        .def("logsumexp", [](Surveyed& s) { return s.survey.logsumexp(); })
        .def("prob", [](Surveyed& s, std::size_t place) { return std::exp(s.score(place) - s.survey.logsumexp()); }, "place"_a)
        .def("sums", [](Surveyed& s) { return given(s.survey.sums()); })
        .def("leading", [](Surveyed& s, std::size_t k) { return given(s.survey.leading(k)); }, "k"_a)
        .def("ranks", [](Surveyed& s, Scores some) { return given(s.survey.ranks(some.data(), some.shape(0))); }, "some"_a.noconvert())
        .def("rank", [](Surveyed& s, std::size_t place) {
            const float score = s.score(place);
            return s.survey.ranks(&score, 1)[0];
        }, "place"_a)
        .def("score", &Surveyed::score, "place"_a)
        .def("at_least", [](Surveyed& s, float edge) { return given(s.survey.at_least(edge)); }, "edge"_a)
        .def("at", &Surveyed::at, "places"_a)
        .def("dense", &Surveyed::dense)
        .def("changed", &Surveyed::changed, "places"_a, "scores"_a.noconvert())
        .def("divided", &Surveyed::divided, "by"_a)
        .def("lost_of", &Surveyed::lost_of, "before"_a)
        .def("mass", &Surveyed::mass, "places"_a)
        .def("likeliest", [](Surveyed& s) { return s.survey.leading(1).at(0); })
        .def("drawn", [](Surveyed& s, double uniform) { return s.survey.drawn(uniform); }, "uniform"_a)
        .def("nucleus", [](Surveyed& s, double part) { return s.survey.nucleus(part); }, "part"_a);
    m.def("weigh", [](Scores scores, std::optional<Out> weights, const std::string& isa) {
        const Kernels* table = kernels(isa);
        if (weights) check_alike(scores, *weights);
        nb::gil_scoped_release free;
        return weigh(*table, scores.data(), scores.shape(0), weights ? weights->data() : nullptr);
    }, "scores"_a.noconvert(), "weights"_a.none(), "isa"_a);
    m.def("between", [](Scores scores, float low, float high, const std::string& isa) {
        const Kernels* table = kernels(isa);
        Places places;
        {
            nb::gil_scoped_release free;
            places = between(*table, scores.data(), scores.shape(0), low, high);
        }
        return given(std::move(places));
    }, "scores"_a.noconvert(), "low"_a, "high"_a, "isa"_a);
    m.def("shuffled", [](std::uint32_t seed, std::size_t n, std::size_t count) {
        if (n > std::numeric_limits<std::uint32_t>::max()) throw std::invalid_argument("n");
        Places places;
        {
            nb::gil_scoped_release free;
            places = shuffled(seed, n, count);
        }
        return given(std::move(places));
    }, "seed"_a, "n"_a, "count"_a);
    m.def("tails", &tails, "keys"_a.noconvert(), "weights"_a.noconvert(), "thresholds"_a, "isa"_a);
    m.def("keep", [](Scores scores, Scores keys, float edge, Out out, const std::string& isa) {
        const Kernels* table = kernels(isa);
        check_alike(scores, keys);
        check_alike(scores, out);
        nb::gil_scoped_release free;
        table->keep(scores.data(), keys.data(), keys.shape(0), edge, out.data());
    }, "scores"_a.noconvert(), "keys"_a.noconvert(), "edge"_a, "out"_a.noconvert(), "isa"_a);
}

}  // namespace pellucid
