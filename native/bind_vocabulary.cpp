// What Python sees of a whole vocabulary's passes.
#include "bind.hpp"

#include <nanobind/stl/array.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>

#include <algorithm>
#include <limits>
#include <stdexcept>

#include "vocabulary.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace pellucid {
namespace {

using Scores = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Out = nb::ndarray<float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
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

Given<double> block_sums(Scores scores, float most, std::size_t block, const std::string& isa) {
    if (block < 1) throw std::invalid_argument("block");
    const Kernels* table = kernels(isa);
    const std::size_t n = scores.shape(0);
    std::vector<double> sums(n / block + (n % block != 0));
    {
        nb::gil_scoped_release free;
        for (std::size_t i = 0; i < sums.size(); i++)
            sums[i] = table->weigh(scores.data() + i * block, std::min(block, n - i * block), most, nullptr);
    }
    return given(std::move(sums));
}

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
    m.def("weigh", [](Scores scores, std::optional<Out> weights, const std::string& isa) {
        const Kernels* table = kernels(isa);
        if (weights) check_alike(scores, *weights);
        nb::gil_scoped_release free;
        return weigh(*table, scores.data(), scores.shape(0), weights ? weights->data() : nullptr);
    }, "scores"_a.noconvert(), "weights"_a.none(), "isa"_a);
    m.def("block_sums", &block_sums, "scores"_a.noconvert(), "most"_a, "block"_a, "isa"_a);
    m.def("between", [](Scores scores, float low, float high, const std::string& isa) {
        const Kernels* table = kernels(isa);
        Places places;
        {
            nb::gil_scoped_release free;
            places = between(*table, scores.data(), scores.shape(0), low, high);
        }
        return given(std::move(places));
    }, "scores"_a.noconvert(), "low"_a, "high"_a, "isa"_a);
    m.def("leading", [](Scores scores, std::size_t k, const std::string& isa) {
        const Kernels* table = kernels(isa);
        Places places;
        {
            nb::gil_scoped_release free;
            places = leading(*table, scores.data(), scores.shape(0), k);
        }
        return given(std::move(places));
    }, "scores"_a.noconvert(), "k"_a, "isa"_a);
    m.def("ranks", [](Scores scores, Scores some, const std::string& isa) {
        const Kernels* table = kernels(isa);
        std::pair<std::size_t, Places> found;
        {
            nb::gil_scoped_release free;
            found = ranks(*table, scores.data(), scores.shape(0), some.data(), some.shape(0));
        }
        return std::make_pair(found.first, given(std::move(found.second)));
    }, "scores"_a.noconvert(), "some"_a.noconvert(), "isa"_a);
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
