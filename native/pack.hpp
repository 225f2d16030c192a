// Stored tensors become matrices in tiles: codes as they are, with scales that say the same numbers.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "arena.hpp"
#include "kernels.hpp"
#include "pool.hpp"

namespace pellucid {

class Packed {
public:
    // `kind` is the tensor's kind ("F32", "Q4_K"); `data` its rows, `stride` bytes apart. The caller
    // has its turn in the pool, and so in the arena.
    Packed(const std::string& kind, const std::uint8_t* data, std::size_t stride, int rows,
           int columns, Pool& pool, Arena& arena);
    const Matrix& matrix() const { return matrix_; }
    // Whether every number is the tensor's own; if not, a scale or minimum is beyond f16.
    bool exact() const { return exact_; }
    std::size_t bytes() const { return bytes_; }
    // The numbers of a row, [columns].
    void row(int row, float* out) const;

private:
    Matrix matrix_;
    std::size_t bytes_;
    std::atomic<bool> exact_{true};
    std::shared_ptr<std::uint8_t> memory_;
};

bool can_pack(const std::string& kind, int columns);
std::size_t row_bytes(const std::string& kind, int columns);    // as the file has them

}  // namespace pellucid
