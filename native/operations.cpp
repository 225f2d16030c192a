// The operations themselves, but for attention and experts: a matrix's tiles, and what is done row by row.
#include "plan.hpp"

#include <algorithm>
#include <cmath>

namespace pellucid {

// A matrix is cut into what its kernel computes together: a tile, or some.
int Plan::units_of(const Packed& packed) const {
    const int lanes = kLanes * kernels_->tiles;
    return (packed.matrix().rows + lanes - 1) / lanes;
}

Plan::Extent Plan::matrix_extent(const Packed& packed, std::size_t rows) const {
    return {rows ? static_cast<std::size_t>(units_of(packed)) : 0, kernels_->tiles * packed.matrix().tile_bytes * work_of(rows)};
}

void Plan::run_linear(const Op& op, int rows, int first, int last) {
    Quantised q{};
    if (op.quantised >= 0) q = view(sixteens_[op.quantised], op.matrix->matrix().columns);
    linear(*op.matrix, op.bias.empty() ? nullptr : op.bias.data(), row(op.a, 0), op.quantised >= 0 ? &q : nullptr,
           0, rows, row(op.out, 0), buffers_[op.out].width, first, last);
}

void Plan::linear(const Packed& packed, const float* bias, const float* x, const Quantised* q, int row0,
                  int row1, float* out, int out_width, int first, int last) const {
    const Matrix& m = packed.matrix();
    first *= kernels_->tiles;
    last = std::min(last * kernels_->tiles, (m.rows + kLanes - 1) / kLanes);
    // As many rows at a time as leave their activations in the second-level cache.
    const int most = std::max(6, (q ? 384 * 1024 / (2 * m.columns) : 384 * 1024 / (4 * m.columns)) / 6 * 6);
    for (; row0 < row1; row0 += most) {
        const int end = std::min(row1, row0 + most);
        if (q)
            kernels_->linear_packed(m, *q, row0, end, first, last, bias, out, out_width);
        else
            kernels_->linear_dense(m, x, m.columns, row0, end, first, last, bias, out, out_width);
    }
}

// Operations whose rows are shared out: each row by itself.
void Plan::run_rows(const Op& op, const Batch& batch, int first, int last) {
    const int width = op.out >= 0 ? buffers_[op.out].width : buffers_[op.a].width;
    const std::size_t n = static_cast<std::size_t>(last - first) * width;
    const Kernels& k = *kernels_;
    switch (op.kind) {
        case Kind::embed:
            for (int r = first; r < last; r++) op.matrix->row(static_cast<int>(batch.ids[r]), row(op.out, r));
            return;
        case Kind::position:
            for (int r = first; r < last; r++) op.matrix->row(static_cast<int>(batch.positions[r]), row(op.out, r));
            return;
        case Kind::norm: {
            const int each = width / op.heads;
            const float* bias = op.bias.empty() ? nullptr : op.bias.data();
            for (int r = first; r < last; r++)
                for (int h = 0; h < op.heads; h++)
                    k.norm(row(op.a, r) + h * each, op.weight.data(), bias, each, op.number, op.centre, row(op.out, r) + h * each);
            return;
        }
        case Kind::turns:
            for (int r = first; r < last; r++) turns(op, batch, r);
            return;
        case Kind::rotate:
            for (int r = first; r < last; r++) rotate(op, r);
            return;
        case Kind::store: return store(op, batch, first, last);
        case Kind::activate: return k.activate(row(op.a, first), n, op.act, row(op.out, first));
        case Kind::add: return k.add(row(op.a, first), row(op.b, first), n, row(op.out, first));
        case Kind::multiply: return k.multiply(row(op.a, first), row(op.b, first), n, row(op.out, first));
        case Kind::scale: return k.scale(row(op.a, first), op.number, n, row(op.out, first));
        case Kind::softcap: return k.softcap(row(op.a, first), op.number, n, row(op.out, first));
        case Kind::quantise: {
            Sixteen& s = sixteens_[op.quantised];
            for (int r = first; r < last; r++) quantise_row(row(op.a, r), width, s, r);
            return;
        }
        default: return;
    }
}

// Blocks of the wanted rows' logits, one after the other: given to whoever asked, and looked at while near.
void Plan::hand_out(const Op& op, const Batch& batch, int first, int last) {
    const std::size_t width = buffers_[op.a].width, blocks = Found::blocks(width);
    for (int unit = first; unit < last; unit++) {
        const std::size_t r = unit / blocks, block = unit % blocks, start = block * Found::kBlock;
        const std::size_t n = std::min(Found::kBlock, width - start);
        const float* scores = row(op.a, static_cast<int>(r)) + start;
        std::copy_n(scores, n, batch.out + r * width + start);
        if (batch.found) (*batch.found)[r].look(block, scores, n);
    }
}

Quantised Plan::view(Sixteen& s, int columns) const {
    return {s.bytes.data(), s.groups.data(), columns};
}

void Plan::quantise_row(const float* x, int columns, Sixteen& into, int row) const {
    const std::size_t at = static_cast<std::size_t>(row) * columns;
    kernels_->quantise(x, columns, into.bytes.data() + 2 * at, into.groups.data() + at / kGroup);
}

void Plan::turns(const Op& op, const Batch& batch, int r) {
    const int half = buffers_[op.out].width / 2;
    float *cos = row(op.out, r), *sin = cos + half;
    for (int i = 0; i < half; i++) {
        float angle = static_cast<float>(batch.positions[r]) * op.weight[i];
        cos[i] = std::cos(angle) * op.number;
        sin[i] = std::sin(angle) * op.number;
    }
}

void Plan::rotate(const Op& op, int r) {
    const int half = buffers_[op.b].width / 2, each = buffers_[op.a].width / op.heads;
    const float *cos = row(op.b, r), *sin = cos + half;
    for (int h = 0; h < op.heads; h++) {
        const float* x = row(op.a, r) + h * each;
        float* y = row(op.out, r) + h * each;
        for (int i = 0; i < half; i++) {
            float a = x[i], b = x[half + i];
            y[i] = a * cos[i] - b * sin[i];
            y[half + i] = b * cos[i] + a * sin[i];
        }
        if (x != y) std::copy(x + 2 * half, x + each, y + 2 * half);
    }
}

}  // namespace pellucid
