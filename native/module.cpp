// What Python sees: a pool, matrices and sequences; and, in files of their own, plans and vocabularies.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <cstdlib>
#include <stdexcept>
#include <string_view>

#include "bandwidth.hpp"
#include "bind.hpp"
#include "pack.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace pellucid {
namespace {

constexpr int kMaxThreads = 1024;

using Bytes = nb::ndarray<const std::uint8_t, nb::ndim<2>, nb::device::cpu>;
using Holder = std::shared_ptr<Packed>;
using Cube = nb::ndarray<nb::numpy, float, nb::ndim<3>>;

std::vector<std::string> available() {
    std::vector<std::string> names;
    for (const Kernels* k : all_kernels()) names.emplace_back(k->name);
    return names;
}

// None where float16 scales cannot say the tensor's numbers.
Holder pack(Engine& e, const std::string& kind, Bytes data, int rows, int columns) {
    if (rows < 0 || columns < 1 || !can_pack(kind, columns)) throw std::invalid_argument("cannot pack this kind and shape");
    if (data.shape(0) != static_cast<std::size_t>(rows) || data.shape(1) != row_bytes(kind, columns))
        throw std::invalid_argument("data is not of this kind and shape");
    if (rows && (data.stride(1) != 1 || data.stride(0) < 0)) throw std::invalid_argument("rows must be contiguous");
    nb::gil_scoped_release free;
    auto turn = e.pool->turn();
    auto packed = std::make_shared<Packed>(kind, data.data(), data.stride(0), rows, columns, *e.pool, *e.arena);
    return packed->exact() ? packed : nullptr;
}

Cube cube(std::vector<float>&& numbers, const std::array<std::size_t, 3>& shape) {
    auto* kept = new std::vector<float>(std::move(numbers));
    nb::capsule owner(kept, [](void* p) noexcept { delete static_cast<std::vector<float>*>(p); });
    return Cube(kept->data(), {shape[0], shape[1], shape[2]}, owner);
}

// Keys and values of a layer, [stop, kv_heads, head_dim] each.
std::pair<Cube, Cube> read_sequence(const Sequence& s, int layer, int stop) {
    const Layout& l = s.layout();
    const std::array<std::size_t, 3> shape{static_cast<std::size_t>(std::max(stop, 0)), static_cast<std::size_t>(l.kv_heads), static_cast<std::size_t>(l.head_dim)};
    const std::size_t numbers = shape[0] * shape[1] * shape[2];
    s.check(layer, stop);
    std::vector<float> keys(numbers), values(numbers);
    for (int p = 0; p < stop; p++)
        for (int h = 0; h < l.kv_heads; h++) {
            const std::size_t at = (static_cast<std::size_t>(p) * l.kv_heads + h) * l.head_dim;
            s.read(layer, h, p, keys.data() + at, values.data() + at);
        }
    return {cube(std::move(keys), shape), cube(std::move(values), shape)};
}

}  // namespace

const Kernels* kernels(const std::string& name) {
    const char* wanted = name.empty() ? std::getenv("PELLUCID_ISA") : name.c_str();
    for (const Kernels* k : all_kernels())
        if (!wanted || !*wanted || wanted == std::string_view(k->name)) return k;
    if (name.empty()) nb::module_::import_("pellucid.backends.isa").attr("instruction_set")();      // says what is wrong
    throw std::invalid_argument(std::string("no kernels for ") + wanted + " on this processor");
}

Engine::Engine(int threads, const std::string& isa) : table(kernels(isa)) {
    if (threads < 1 || threads > kMaxThreads) throw std::invalid_argument("threads");
    pool = std::make_shared<Pool>(threads);
}

}  // namespace pellucid

using namespace pellucid;

NB_MODULE(_native, m) {
    nb::set_leak_warnings(false);       // whoever keeps a model until the process ends may do so
    m.def("available", &available);
    m.def("can_pack", &can_pack, "kind"_a, "columns"_a);
    m.def("read_bandwidth", [](std::size_t bytes, int threads, int repeats) {
        nb::gil_scoped_release free;
        return read_bandwidth(bytes, threads, repeats);
    }, "bytes"_a, "threads"_a, "repeats"_a);

    nb::class_<Packed>(m, "Packed")
        .def_prop_ro("bytes", &Packed::bytes)
        .def_prop_ro("coded", [](const Packed& p) { return coded(p.matrix().code); })
        .def_prop_ro("shape", [](const Packed& p) { return std::make_tuple(p.matrix().rows, p.matrix().columns); })
        .def("row", [](const Packed& p, int row, nb::ndarray<float, nb::ndim<1>, nb::c_contig> out) {
            if (row < 0 || row >= p.matrix().rows || static_cast<int>(out.shape(0)) != p.matrix().columns)
                throw std::out_of_range("row");
            p.row(row, out.data());
        }, "row"_a, "out"_a.noconvert());

    nb::class_<Engine>(m, "Engine")
        .def(nb::init<int, const std::string&>(), "threads"_a, "isa"_a = "")
        .def_prop_ro("isa", [](const Engine& e) { return e.table->name; })
        .def_prop_ro("threads", [](const Engine& e) { return e.pool->size(); })
        .def_prop_ro("pages", [](const Engine& e) { return e.pages->in_use(); })
        .def("pack", &pack, "kind"_a, "data"_a, "rows"_a, "columns"_a);

    nb::class_<Sequence>(m, "Sequence")
        .def("__init__", [](Sequence* s, const Engine& e, int layers, int kv_heads, int head_dim, bool full) {
            new (s) Sequence(Layout(layers, kv_heads, head_dim, full), e.pages);
        }, "engine"_a, "layers"_a, "kv_heads"_a, "head_dim"_a, "full"_a = false)
        .def_prop_ro("length", &Sequence::length)
        .def_prop_ro("pages", &Sequence::pages)
        .def("fork", &Sequence::fork)
        .def("trim", &Sequence::trim, "length"_a)
        .def("advance", &Sequence::advance, "rows"_a)
        .def("read", &read_sequence, "layer"_a, "stop"_a);

    bind_plan(m);
    bind_vocabulary(m);
}
