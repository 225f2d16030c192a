// How a matrix lies in memory: in tiles of 16 rows, each contiguous.
#pragma once
#include <cstddef>
#include <cstdint>

namespace pellucid {

constexpr int kLanes = 16;      // outputs of a linear that are computed together: a tile
constexpr int kOuter = 256;     // columns that share an outer scale, where scales are nested

// Plain numbers, [column][16 rows]; or codes, as the GGUF kind of that name needs them.
enum class Code : int {
    f32, f16, bf16,
    q4_0, q4_1, q5_0, q5_1, q8_0, q2_k, q3_k, q4_k, q5_k, q6_k, iq4_xs
};

// What codes mean, and where the parts of their tile lie. A number is (code - middle) * scale, or, where
// there is no middle, code * scale + minimum: exactly the file's number.
//
// Scales, and minima behind them, are f16 [16 rows] of each group of columns: those of all groups come
// first, up to a multiple of 64 bytes, then the codes of all. Where they are nested, each 256 columns
// are one after another: outer scales (and minima), f32 [16 rows] each; the small whole scales (and
// minima) that these multiply, i8 [16 rows] each, of all groups; then the codes of all groups.
//
// Codes of a group are [4-column block][16 rows][4 columns]. Of more than a byte's half, but for whole
// bytes, the low four bits come first: one byte holds two blocks, the first in its low half. Then comes
// one plane of the bits above, [16 rows][4 columns], a byte those of all blocks, the first one's lowest.
struct Coding {
    int bits;                   // of a code: 4, 5, 6 or 8
    int group;                  // columns that share a scale: 16 or 32
    bool nested;
    int middle;

    constexpr int parts() const { return middle ? 1 : 2; }      // scales alone, or minima too
    constexpr std::size_t code_bytes() const { return static_cast<std::size_t>(group) * kLanes * bits / 8; }
    constexpr std::size_t scale_bytes() const { return (nested ? 1 : 2) * kLanes * parts(); }
    constexpr std::size_t group_bytes() const { return code_bytes() + scale_bytes(); }
    constexpr std::size_t outer_bytes() const { return nested ? 4 * kLanes * parts() : 0; }
    // Of what lies together: 256 columns, or all.
    constexpr int block_columns(int columns) const { return nested ? kOuter : columns; }
    constexpr std::size_t scales_end(int columns) const {
        return (outer_bytes() + block_columns(columns) / group * scale_bytes() + 63) / 64 * 64;
    }
    constexpr std::size_t block_bytes(int columns) const {
        return scales_end(columns) + block_columns(columns) / group * code_bytes();
    }
    constexpr std::size_t tile_bytes(int columns) const {
        return columns / block_columns(columns) * block_bytes(columns);
    }
};

constexpr bool coded(Code code) { return code >= Code::q4_0; }

constexpr int kCodings = 11;

constexpr Coding coding(Code code) {
    constexpr Coding all[kCodings] = {
        {4, 32, false, 8},  {4, 32, false, 0},  {5, 32, false, 16}, {5, 32, false, 0}, {8, 32, false, 128},
        {4, 16, true, 0},   {4, 16, true, 4},   {4, 32, true, 0},   {5, 32, true, 0},  {6, 16, true, 32},
        {8, 32, true, 128},
    };
    return all[static_cast<int>(code) - static_cast<int>(Code::q4_0)];
}

struct Matrix {                 // [rows, columns]
    Code code;
    int rows, columns;
    std::size_t tile_bytes;
    const std::uint8_t* data;
};

}  // namespace pellucid
