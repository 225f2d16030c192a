// Stored tensors become matrices in tiles: codes as they are, scales and minima in f16.
#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "kernels.hpp"
#include "pool.hpp"

namespace pellucid {

class Packed {
public:
    // `kind` is the tensor's kind ("F32", "Q4_K"); `data` its rows, `row_bytes` apart.
    Packed(const std::string& kind, const std::uint8_t* data, std::size_t row_bytes, int rows,
           int columns, Pool& pool);
    const Matrix& matrix() const { return matrix_; }
    std::size_t bytes() const { return bytes_; }
    // The numbers of a row, [columns].
    void row(int row, float* out) const;

private:
    struct Free {
        void operator()(std::uint8_t* p) const;
    };
    Matrix matrix_;
    std::size_t bytes_;
    std::unique_ptr<std::uint8_t, Free> memory_;
};

bool can_pack(const std::string& kind, int columns);

}  // namespace pellucid
