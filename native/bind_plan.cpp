// What Python sees of a plan: recording it operation by operation, executing it, describing it.
#include "bind.hpp"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <stdexcept>

#include "plan.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace pellucid {
namespace {

using Numbers = std::vector<std::int64_t>;
using Floats = nb::ndarray<float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Holder = std::shared_ptr<Packed>;

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

constexpr std::size_t kMaxRows = 1 << 24;       // of a pass, which needs far above 100 bytes for each

int checked_rows(const Floats& rows) {
    if (rows.shape(0) > kMaxRows) throw std::invalid_argument("more rows than a pass may have");
    return static_cast<int>(rows.shape(0));
}

// Candidates of each wanted row, where that is asked.
nb::list execute(Plan& plan, const Numbers& ids, const Numbers& positions, const Numbers& wanted,
                 const std::vector<std::tuple<int, int, std::shared_ptr<Sequence>>>& spans, nb::object array, int part,
                 bool survey) {
    Batch b;
    Floats out;
    if (!nb::try_cast(array, out, false)) throw nb::type_error("out must be rows of float32 in one piece");
    if (ids.size() > kMaxRows || wanted.size() > kMaxRows || positions.size() != ids.size())
        throw std::invalid_argument("ids, positions and wanted do not agree");
    b.rows = static_cast<int>(ids.size());
    b.wanted_rows = static_cast<int>(wanted.size());
    if (static_cast<int>(out.shape(0)) != b.wanted_rows || static_cast<int>(out.shape(1)) != plan.result_width())
        throw std::invalid_argument("out has the wrong shape");
    b.ids = ids.data();
    b.positions = positions.data();
    b.wanted = wanted.data();
    b.out = out.data();
    std::vector<Found> found;
    if (survey) {
        found.assign(b.wanted_rows, plan.found());
        b.found = &found;
    }
    for (const auto& [row, rows, sequence] : spans) {
        if (!sequence) throw std::invalid_argument("a span without a sequence");
        b.spans.push_back({row, rows, sequence.get()});
    }
    {
        Busy busy(b.spans);
        plan.prepare(b);
        nb::gil_scoped_release free;
        plan.execute(b, part);
    }
    nb::list rows;
    for (std::size_t r = 0; r < found.size(); r++)
        rows.append(candidates(array, b.out + r * out.shape(1), out.shape(1), std::move(found[r])));
    return rows;
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
        const int rows_like = o.out >= 0 ? o.out : o.a;     // of one of its buffers, whose rows are alike but for `take`
        d["wanted"] = rows_like >= 0 && plan.buffers()[rows_like].wanted;
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

}  // namespace

void bind_plan(nb::module_& m) {
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
        .def("execute", &execute, "ids"_a, "positions"_a, "wanted"_a, "spans"_a, "out"_a, "part"_a = 0, "survey"_a = false)
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

}  // namespace pellucid
