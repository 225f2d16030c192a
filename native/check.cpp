// Whether an operation and a batch fit: neither, written wrongly, may reach memory that is not its own.
#include "plan.hpp"

#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>

namespace pellucid {
namespace {

class Checker {
public:
    Checker(const Op& op, const std::vector<Buffer>& buffers, const Layout& layout)
        : op_(op), buffers_(buffers), layout_(layout) {}

    void all() const {
        reads_and_writes();
        switch (op_.kind) {
            case Kind::embed:
            case Kind::position: return is(op_.matrix->matrix().columns == width(op_.out) && !wanted(op_.out));
            case Kind::linear: return linear(*op_.matrix, op_.a, op_.out);
            case Kind::norm: return norm();
            case Kind::turns: return is(width(op_.out) == 2 * static_cast<int>(op_.weight.size()) && !wanted(op_.out));
            case Kind::rotate:
                divides(op_.heads, width(op_.a));
                return is(width(op_.out) == width(op_.a) && width(op_.b) <= width(op_.a) / op_.heads);
            case Kind::store: return is(width(op_.a) == keys() && width(op_.b) == keys() && !wanted(op_.a) && layer());
            case Kind::attend:
                divides(layout_.kv_heads, op_.heads);
                is(width(op_.a) == width(op_.out) && width(op_.a) == op_.heads * layout_.head_dim);
                return is(op_.window >= 0 && layer() && !wanted(op_.a));
            case Kind::take: return is(width(op_.a) == width(op_.out) && wanted(op_.out) && !wanted(op_.a));
            case Kind::quantise: return divides(kGroup, width(op_.a));
            case Kind::experts: return experts();
            case Kind::logits: return is(wanted(op_.a));
            default: return is(width(op_.a) == width(op_.out) && (op_.b < 0 || width(op_.b) == width(op_.out)));
        }
    }

private:
    void is(bool fits) const {
        if (!fits) throw std::invalid_argument(std::string(kind_name(op_.kind)) + " does not fit its buffers");
    }
    void divides(int part, int whole) const { is(part > 0 && whole % part == 0); }
    int width(int buffer) const { return buffers_[buffer].width; }
    bool wanted(int buffer) const { return buffers_[buffer].wanted; }
    int keys() const { return layout_.kv_heads * layout_.head_dim; }
    bool layer() const { return op_.layer >= 0 && op_.layer < layout_.layers; }

    void exists(int buffer, bool needed) const {
        is(buffer >= (needed ? 0 : -1) && buffer < static_cast<int>(buffers_.size()));
        if (buffer >= 0) is(width(buffer) > 0);
    }

    void reads_and_writes() const {
        const Kind k = op_.kind;
        const bool source = k == Kind::embed || k == Kind::position || k == Kind::turns;
        const bool two = k == Kind::rotate || k == Kind::store || k == Kind::add || k == Kind::multiply || k == Kind::experts;
        exists(op_.out, k != Kind::store && k != Kind::quantise && k != Kind::logits);
        exists(op_.a, !source);
        exists(op_.b, two);
        is(op_.act >= Act::silu && op_.act <= Act::relu);
        if (k == Kind::take) return;
        for (int in : {op_.a, op_.b})       // rows of one kind: all, or the wanted
            if (in >= 0) is(wanted(in) == wanted(op_.out >= 0 ? op_.out : op_.a));
    }

    void linear(const Packed& matrix, int in, int out) const {
        const Matrix& m = matrix.matrix();
        is(m.columns == width(in) && m.rows == width(out));
        is(op_.bias.empty() || op_.bias.size() == static_cast<std::size_t>(m.rows));
        is(!coded(m.code) || op_.quantised >= 0);
    }

    void norm() const {
        divides(op_.heads, width(op_.a));
        const auto each = static_cast<std::size_t>(width(op_.a) / op_.heads);
        is(width(op_.a) == width(op_.out) && op_.weight.size() == each && (op_.bias.empty() || op_.bias.size() == each));
    }

    void experts() const {
        is(width(op_.out) == width(op_.a) && width(op_.b) == static_cast<int>(op_.experts.size()));
        is(op_.chosen >= 1 && op_.chosen <= kMaxChosen && op_.chosen <= width(op_.b));
        for (const Mlp& mlp : op_.experts) {
            is(mlp.up && mlp.down);
            const Matrix &up = mlp.up->matrix(), &down = mlp.down->matrix();
            is(up.rows == op_.experts.front().up->matrix().rows);      // one layout holds the rows of all
            is(up.columns == width(op_.a) && down.rows == width(op_.out) && down.columns == up.rows);
            is(!mlp.gate || (mlp.gate->matrix().rows == up.rows && mlp.gate->matrix().columns == up.columns));
        }
    }

    const Op& op_;
    const std::vector<Buffer>& buffers_;
    const Layout& layout_;
};

}  // namespace

void check(const Op& op, const std::vector<Buffer>& buffers, const Layout& layout) {
    Checker(op, buffers, layout).all();
}

// What comes from Python indexes memory from here on.
void Plan::check(const Batch& batch) const {
    (void)result_width();
    constexpr std::int64_t most = std::numeric_limits<int>::max() / 2;
    auto below = [](const std::int64_t* numbers, int n, std::int64_t limit, const char* what) {
        for (int i = 0; i < n; i++)
            if (numbers[i] < 0 || numbers[i] >= limit) throw std::out_of_range(what);
    };
    below(batch.wanted, batch.wanted_rows, batch.rows, "wanted: no such row");
    below(batch.positions, batch.rows, most, "positions: beyond what can be held");
    bool attends = false;
    for (const Op& op : ops_) {
        if (op.kind == Kind::embed) below(batch.ids, batch.rows, op.matrix->matrix().rows, "ids: beyond the vocabulary");
        if (op.kind == Kind::position) below(batch.positions, batch.rows, op.matrix->matrix().rows, "positions: beyond the table");
        attends |= op.kind == Kind::attend;
    }
    int row = 0;
    for (const Span& span : batch.spans) {
        if (span.row != row || span.rows < 0 || span.rows > batch.rows - row) throw std::invalid_argument("spans do not cover the rows in order");
        if (!(span.sequence->layout() == layout_)) throw std::invalid_argument("a cache of another model");
        for (int i = 1; i < span.rows; i++)
            if (batch.positions[row + i] != batch.positions[row] + i) throw std::invalid_argument("positions of a span do not follow each other");
        row += span.rows;
    }
    if (attends && row != batch.rows) throw std::invalid_argument("spans do not cover the rows in order");
}

}  // namespace pellucid
