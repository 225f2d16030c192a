// What Python sees: a pool, matrices, sequences, and plans.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <limits>
#include <stdexcept>

#include "bandwidth.hpp"
#include "plan.hpp"
#include "vocabulary.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using namespace pellucid;

namespace {

using Bytes = nb::ndarray<const std::uint8_t, nb::ndim<2>, nb::device::cpu>;
using Ids = nb::ndarray<const std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Floats = nb::ndarray<float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Holder = std::shared_ptr<Packed>;

const Kernels* kernels(const std::string& name) {
    for (const Kernels* k : all_kernels())
        if (name.empty() || name == k->name) return k;
    throw std::invalid_argument("no kernels for " + name + " on this processor");
}

std::vector<std::string> available() {
    std::vector<std::string> names;
    for (const Kernels* k : all_kernels()) names.emplace_back(k->name);
    return names;
}

constexpr int kMaxThreads = 1024;

struct Engine {
    const Kernels* table;
    std::shared_ptr<Pool> pool;
    Count pages = std::make_shared<std::atomic<long>>(0);
    Engine(int threads, const std::string& isa) : table(kernels(isa)) {
        if (threads < 1 || threads > kMaxThreads) throw std::invalid_argument("threads");
        pool = std::make_shared<Pool>(threads);
    }
};

// None where float16 scales cannot say the tensor's numbers.
Holder pack(Engine& e, const std::string& kind, Bytes data, int rows, int columns) {
    if (rows < 0 || columns < 1 || !can_pack(kind, columns)) throw std::invalid_argument("cannot pack this kind and shape");
    if (data.shape(0) != static_cast<std::size_t>(rows) || data.shape(1) != row_bytes(kind, columns))
        throw std::invalid_argument("data is not of this kind and shape");
    if (rows && (data.stride(1) != 1 || data.stride(0) < 0)) throw std::invalid_argument("rows must be contiguous");
    nb::gil_scoped_release free;
    auto turn = e.pool->turn();
    auto packed = std::make_shared<Packed>(kind, data.data(), data.stride(0), rows, columns, *e.pool);
    return packed->exact() ? packed : nullptr;
}

using Cube = nb::ndarray<nb::numpy, float, nb::ndim<3>>;

Cube cube(std::vector<float>&& numbers, const std::array<std::size_t, 3>& shape) {
    auto* kept = new std::vector<float>(std::move(numbers));
    nb::capsule owner(kept, [](void* p) noexcept { delete static_cast<std::vector<float>*>(p); });
    return Cube(kept->data(), {shape[0], shape[1], shape[2]}, owner);
}

// Marks sequences for as long as a pass uses them without the interpreter's lock. Made and
// destroyed while that is held, so that marks need no lock of their own.
class Busy {
public:
    explicit Busy(const std::vector<Span>& spans) {
        for (const Span& span : spans) {
            if (span.sequence->busy) {
                release();
                throw std::runtime_error("a sequence is used twice at once; fork it first");
            }
            span.sequence->busy = true;
            marked_.push_back(span.sequence);
        }
    }
    ~Busy() { release(); }
    Busy(const Busy&) = delete;
    Busy& operator=(const Busy&) = delete;

private:
    void release() {
        for (Sequence* sequence : marked_) sequence->busy = false;
    }
    std::vector<Sequence*> marked_;
};

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

constexpr std::size_t kMaxRows = 1 << 24;       // of a pass, which needs far above 100 bytes for each

int checked_rows(const Floats& rows) {
    if (rows.shape(0) > kMaxRows) throw std::invalid_argument("more rows than a pass may have");
    return static_cast<int>(rows.shape(0));
}

void execute(Plan& plan, Ids ids, Ids positions, Ids wanted,
             const std::vector<std::tuple<int, int, std::shared_ptr<Sequence>>>& spans, Floats out, int part) {
    Batch b;
    if (ids.shape(0) > kMaxRows || wanted.shape(0) > kMaxRows || positions.shape(0) != ids.shape(0))
        throw std::invalid_argument("ids, positions and wanted do not agree");
    b.rows = static_cast<int>(ids.shape(0));
    b.wanted_rows = static_cast<int>(wanted.shape(0));
    if (static_cast<int>(out.shape(0)) != b.wanted_rows || static_cast<int>(out.shape(1)) != plan.result_width())
        throw std::invalid_argument("out has the wrong shape");
    b.ids = ids.data();
    b.positions = positions.data();
    b.wanted = wanted.data();
    for (const auto& [row, rows, sequence] : spans) {
        if (!sequence) throw std::invalid_argument("a span without a sequence");
        b.spans.push_back({row, rows, sequence.get()});
    }
    Busy busy(b.spans);
    nb::gil_scoped_release free;
    plan.execute(b, part, out.data());
}

Op op(Kind kind, int out, int a = -1, int b = -1) {
    Op o;
    o.kind = kind;
    o.out = out;
    o.a = a;
    o.b = b;
    return o;
}

std::size_t weights(const Packed& p) {
    return static_cast<std::size_t>(p.matrix().rows) * p.matrix().columns;
}

nb::list describe(const Plan& plan) {
    nb::list rows;
    for (const Op& o : plan.ops()) {
        nb::dict d;
        d["kind"] = kind_name(o.kind);
        d["out"] = o.out;
        d["a"] = o.a;
        d["b"] = o.b;
        d["barrier"] = o.barrier;
        d["seconds"] = o.seconds;
        d["waited"] = o.waited;
        std::size_t bytes = o.matrix ? o.matrix->bytes() : 0;
        d["rows"] = o.matrix ? o.matrix->matrix().rows : 0;
        d["columns"] = o.matrix ? o.matrix->matrix().columns : 0;
        std::size_t numbers = o.matrix ? weights(*o.matrix) : 0;
        for (const Mlp& m : o.experts)
            for (const Packed* p : {m.up.get(), m.down.get(), m.gate.get()})
                if (p) {
                    bytes += p->bytes();
                    numbers += weights(*p);
                }
        d["bytes"] = bytes;
        d["numbers"] = numbers;
        d["width"] = o.out >= 0 ? plan.buffers()[o.out].width : 0;
        d["wanted"] = o.out >= 0 && plan.buffers()[o.out].wanted;
        d["read"] = o.a >= 0 ? plan.buffers()[o.a].width : 0;
        d["window"] = o.window;
        d["experts"] = o.experts.size();
        d["chosen"] = o.chosen;
        // Of one position in one layer: its keys and values.
        d["key_bytes"] = o.kind == Kind::attend || o.kind == Kind::store
            ? plan.layout().page() / kPage / plan.layout().layers : 0;
        rows.append(d);
    }
    return rows;
}

// ---- a whole vocabulary ----------------------------------------------------------------------

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

}  // namespace

NB_MODULE(_native, m) {
    m.def("available", &available);
    m.def("can_pack", &can_pack, "kind"_a, "columns"_a);
    m.def("read_bandwidth", [](std::size_t bytes, int threads, int repeats) {
        nb::gil_scoped_release free;
        return read_bandwidth(bytes, threads, repeats);
    }, "bytes"_a, "threads"_a, "repeats"_a);

    bind_vocabulary(m);

    nb::class_<Packed>(m, "Packed")
        .def_prop_ro("bytes", &Packed::bytes)
        .def_prop_ro("coded", [](const Packed& p) { return p.matrix().code >= Code::u4; })
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
        .def_prop_ro("pages", [](const Engine& e) { return e.pages->load(); })
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

    nb::class_<Plan>(m, "Plan")
        .def("__init__", [](Plan* p, const Engine& e, int layers, int kv_heads, int head_dim, bool full) {
            new (p) Plan(e.pool, e.table, Layout(layers, kv_heads, head_dim, full));
        }, "engine"_a, "layers"_a, "kv_heads"_a, "head_dim"_a, "full"_a = false)
        .def("buffer", &Plan::buffer, "width"_a, "wanted"_a)
        .def("quantised", &Plan::quantised, "of"_a)
        .def("quantise", [](Plan& p, int a, int into) {
            Op o = op(Kind::quantise, -1, a);
            o.quantised = into;
            p.push(o);
        }, "a"_a, "into"_a)
        .def("embed", [](Plan& p, int out, Holder table, bool by_position) {
            Op o = op(by_position ? Kind::position : Kind::embed, out);
            o.matrix = table;
            p.push(o);
        }, "out"_a, "table"_a, "by_position"_a)
        .def("linear", [](Plan& p, int out, int a, Holder matrix, std::vector<float> bias, int quantised) {
            Op o = op(Kind::linear, out, a);
            o.matrix = matrix;
            o.bias = std::move(bias);
            o.quantised = quantised;
            p.push(o);
        }, "out"_a, "a"_a, "matrix"_a, "bias"_a, "quantised"_a)
        .def("norm", [](Plan& p, int out, int a, std::vector<float> weight, std::vector<float> bias, int groups, float eps, bool centre) {
            Op o = op(Kind::norm, out, a);
            o.weight = std::move(weight);
            o.bias = std::move(bias);
            o.heads = groups;
            o.number = eps;
            o.centre = centre;
            p.push(o);
        }, "out"_a, "a"_a, "weight"_a, "bias"_a, "groups"_a, "eps"_a, "centre"_a)
        .def("turns", [](Plan& p, int out, std::vector<float> frequencies, float gain) {
            Op o = op(Kind::turns, out);
            o.weight = std::move(frequencies);
            o.number = gain;
            p.push(o);
        }, "out"_a, "frequencies"_a, "gain"_a)
        .def("rotate", [](Plan& p, int out, int a, int turns, int heads) {
            Op o = op(Kind::rotate, out, a, turns);
            o.heads = heads;
            p.push(o);
        }, "out"_a, "a"_a, "turns"_a, "heads"_a)
        .def("attend", [](Plan& p, int out, int q, int k, int v, int layer, int heads, int window, float scale, float softcap) {
            Op kept = op(Kind::store, -1, k, v);
            kept.layer = layer;
            p.push(kept);
            Op o = op(Kind::attend, out, q);
            o.layer = layer;
            o.heads = heads;
            o.window = window;
            o.number = scale;
            o.softcap = softcap;
            p.push(o);
        }, "out"_a, "q"_a, "k"_a, "v"_a, "layer"_a, "heads"_a, "window"_a, "scale"_a, "softcap"_a)
        .def("activate", [](Plan& p, int out, int a, int kind) {
            Op o = op(Kind::activate, out, a);
            o.act = static_cast<Act>(kind);
            p.push(o);
        }, "out"_a, "a"_a, "kind"_a)
        .def("add", [](Plan& p, int out, int a, int b) { p.push(op(Kind::add, out, a, b)); }, "out"_a, "a"_a, "b"_a)
        .def("multiply", [](Plan& p, int out, int a, int b) { p.push(op(Kind::multiply, out, a, b)); }, "out"_a, "a"_a, "b"_a)
        .def("scale", [](Plan& p, int out, int a, float by) {
            Op o = op(Kind::scale, out, a);
            o.number = by;
            p.push(o);
        }, "out"_a, "a"_a, "by"_a)
        .def("softcap", [](Plan& p, int out, int a, float cap) {
            Op o = op(Kind::softcap, out, a);
            o.number = cap;
            p.push(o);
        }, "out"_a, "a"_a, "cap"_a)
        .def("take", [](Plan& p, int out, int a) { p.push(op(Kind::take, out, a)); }, "out"_a, "a"_a)
        .def("experts", [](Plan& p, int out, int a, int scores, const std::vector<std::tuple<std::optional<Holder>, Holder, Holder>>& experts, int chosen, bool renormalise, int act) {
            Op o = op(Kind::experts, out, a, scores);
            for (const auto& [gate, up, down] : experts) o.experts.push_back({up, down, gate.value_or(nullptr)});
            o.chosen = chosen;
            o.renormalise = renormalise;
            o.act = static_cast<Act>(act);
            p.push(o);
        }, "out"_a, "a"_a, "scores"_a, "experts"_a, "chosen"_a, "renormalise"_a, "act"_a)
        .def("finish", &Plan::finish, "result"_a)
        .def("execute", &execute, "ids"_a, "positions"_a, "wanted"_a, "spans"_a, "out"_a.noconvert(), "part"_a = 0)
        .def("stop", &Plan::stop)
        .def("read", [](const Plan& p, int buffer, Floats out) {
            if (static_cast<int>(out.shape(1)) != p.buffers().at(buffer).width) throw std::invalid_argument("out has another width");
            p.read(buffer, checked_rows(out), out.data());
        }, "buffer"_a, "out"_a.noconvert())
        .def("write", [](Plan& p, int buffer, Floats rows) {
            if (static_cast<int>(rows.shape(1)) != p.buffers().at(buffer).width) throw std::invalid_argument("rows have another width");
            p.write(buffer, checked_rows(rows), rows.data());
        }, "buffer"_a, "rows"_a.noconvert())
        .def_prop_rw("measuring", [](const Plan& p) { return p.measuring; }, [](Plan& p, bool on) { p.measuring = on; })
        .def_prop_ro("width", &Plan::result_width)
        .def("describe", &describe);
}
