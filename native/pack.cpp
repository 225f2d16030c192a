#include "pack.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>
#include <stdexcept>
#include <utility>

#include "simd_portable.hpp"

namespace pellucid {
namespace {

using portable::from_half;
using portable::to_half;
using U8 = std::uint8_t;

float half_at(const U8* p) {
    std::uint16_t h;
    std::memcpy(&h, p, 2);
    return from_half(h);
}

// What a block of `size` numbers says: a code for each; a scale and, where the kind has them, a minimum,
// which in a block of 256 the small ones of each group multiply.
struct Block {
    U8 codes[256];
    float scale, least;
    std::int8_t scales[16], minima[16];
};

struct Format {
    const char* kind;
    int size, bytes;        // of a block
    Code code;
    void (*read)(const U8* p, Block& out);
};

void low_then_high(const U8* p, U8* codes) {    // 16 bytes: the low halves are numbers 0 to 15
    for (int i = 0; i < 16; i++) {
        codes[i] = p[i] & 15;
        codes[i + 16] = p[i] >> 4;
    }
}

void add_fifth_bits(const U8* p, U8* codes) {
    std::uint32_t bits;
    std::memcpy(&bits, p, 4);
    for (int i = 0; i < 32; i++) codes[i] |= ((bits >> i) & 1) << 4;
}

void q4_0(const U8* p, Block& out) {
    low_then_high(p + 2, out.codes);
    out.scale = half_at(p);
}
void q4_1(const U8* p, Block& out) {
    low_then_high(p + 4, out.codes);
    out.scale = half_at(p);
    out.least = half_at(p + 2);
}
void q5_0(const U8* p, Block& out) {
    low_then_high(p + 6, out.codes);
    add_fifth_bits(p + 2, out.codes);
    out.scale = half_at(p);
}
void q5_1(const U8* p, Block& out) {
    low_then_high(p + 8, out.codes);
    add_fifth_bits(p + 4, out.codes);
    out.scale = half_at(p);
    out.least = half_at(p + 2);
}
void q8_0(const U8* p, Block& out) {
    for (int i = 0; i < 32; i++) out.codes[i] = p[2 + i] ^ 0x80;    // signed byte + 128
    out.scale = half_at(p);
}

void q2_k(const U8* p, Block& out) {
    out.scale = half_at(p + 80);
    out.least = -half_at(p + 82);
    for (int i = 0; i < 256; i++) {
        int half = i / 128, shift = i % 128 / 32 * 2;
        out.codes[i] = (p[16 + 32 * half + i % 32] >> shift) & 3;
    }
    for (int g = 0; g < 16; g++) {
        out.scales[g] = p[g] & 15;
        out.minima[g] = p[g] >> 4;
    }
}

void q3_k(const U8* p, Block& out) {
    const U8 *high = p, *low = p + 32, *packed = p + 96;
    out.scale = half_at(p + 108);
    for (int i = 0; i < 256; i++) {
        int half = i / 128, part = i % 128 / 32;
        int two = (low[32 * half + i % 32] >> (2 * part)) & 3;
        out.codes[i] = static_cast<U8>(two | ((high[i % 32] >> (4 * half + part)) & 1) << 2);
    }
    for (int g = 0; g < 16; g++) {      // six bits: four in the first 8 bytes, two in the last 4
        int four = g < 8 ? packed[g] & 15 : packed[g - 8] >> 4;
        int two = (packed[8 + g % 4] >> (2 * (g / 4))) & 3;
        out.scales[g] = static_cast<std::int8_t>((four | two << 4) - 32);
    }
}

void six_bit_scales(const U8* p, Block& out) {       // of Q4_K and Q5_K
    out.scale = half_at(p);
    out.least = -half_at(p + 2);
    p += 4;
    for (int g = 0; g < 8; g++) {
        int scale = g < 4 ? p[g] & 63 : (p[g + 4] & 15) | (p[g - 4] >> 6) << 4;
        int least = g < 4 ? p[g + 4] & 63 : (p[g + 4] >> 4) | (p[g] >> 6) << 4;
        out.scales[g] = static_cast<std::int8_t>(scale);
        out.minima[g] = static_cast<std::int8_t>(least);
    }
}
void halves_of_64(const U8* p, U8* codes) {
    for (int i = 0; i < 256; i++) {
        U8 byte = p[i / 64 * 32 + i % 32];
        codes[i] = i % 64 < 32 ? byte & 15 : byte >> 4;
    }
}
void q4_k(const U8* p, Block& out) {
    six_bit_scales(p, out);
    halves_of_64(p + 16, out.codes);
}
void q5_k(const U8* p, Block& out) {
    six_bit_scales(p, out);
    halves_of_64(p + 48, out.codes);
    for (int i = 0; i < 256; i++) out.codes[i] |= ((p[16 + i % 32] >> (i / 32)) & 1) << 4;
}
void q6_k(const U8* p, Block& out) {
    for (int i = 0; i < 256; i++) {
        int half = i / 128, part = i % 128 / 32, j = i % 32;
        U8 byte = p[64 * half + 32 * (part & 1) + j];
        int four = part < 2 ? byte & 15 : byte >> 4;
        int two = (p[128 + 32 * half + j] >> (2 * part)) & 3;
        out.codes[i] = static_cast<U8>(four | two << 4);
    }
    out.scale = half_at(p + 208);
    std::memcpy(out.scales, p + 192, 16);
}

// The 16 values of IQ4, and those of MXFP4 (e2m1) doubled; source: ggml's tables.
constexpr std::int8_t iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                        1,    13,   25,  38,  53,  69,  89,  113};
constexpr std::int8_t fp4_values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

void by_value(U8* codes, const std::int8_t* values) {
    for (int i = 0; i < 32; i++) codes[i] = static_cast<U8>(values[codes[i]] + 128);
}
void iq4_nl(const U8* p, Block& out) {
    low_then_high(p + 2, out.codes);
    by_value(out.codes, iq4_values);
    out.scale = half_at(p);
}
void iq4_xs(const U8* p, Block& out) {
    out.scale = half_at(p);
    int high = p[2] | p[3] << 8;
    for (int g = 0; g < 8; g++) {
        low_then_high(p + 8 + 16 * g, out.codes + 32 * g);
        by_value(out.codes + 32 * g, iq4_values);
        int scale = ((p[4 + g / 2] >> (4 * (g % 2))) & 15) | ((high >> (2 * g)) & 3) << 4;
        out.scales[g] = static_cast<std::int8_t>(scale - 32);
    }
}
void mxfp4(const U8* p, Block& out) {
    low_then_high(p + 1, out.codes);
    by_value(out.codes, fp4_values);
    out.scale = std::ldexp(0.5f, p[0] - 127);
}

constexpr Format formats[] = {
    {"Q4_0", 32, 18, Code::q4_0, q4_0},     {"Q4_1", 32, 20, Code::q4_1, q4_1},
    {"Q5_0", 32, 22, Code::q5_0, q5_0},     {"Q5_1", 32, 24, Code::q5_1, q5_1},
    {"Q8_0", 32, 34, Code::q8_0, q8_0},     {"Q2_K", 256, 84, Code::q2_k, q2_k},
    {"Q3_K", 256, 110, Code::q3_k, q3_k},   {"Q4_K", 256, 144, Code::q4_k, q4_k},
    {"Q5_K", 256, 176, Code::q5_k, q5_k},   {"Q6_K", 256, 210, Code::q6_k, q6_k},
    {"IQ4_NL", 32, 18, Code::q8_0, iq4_nl}, {"IQ4_XS", 256, 136, Code::iq4_xs, iq4_xs},
    {"MXFP4", 32, 17, Code::q8_0, mxfp4},
};

const Format* find(const std::string& kind) {
    for (const Format& f : formats)
        if (kind == f.kind) return &f;
    return nullptr;
}

int dense_bytes(const std::string& kind) {
    return kind == "F32" ? 4 : kind == "F16" || kind == "BF16" ? 2 : 0;
}

void pack_dense_row(const U8* row, int columns, int size, int lane, U8* tile) {
    for (int c = 0; c < columns; c++)
        std::memcpy(tile + (static_cast<std::size_t>(c) * kLanes + lane) * size, row + static_cast<std::size_t>(c) * size, size);
}

// Where a group's codes, its scales and the outer ones are in its tile.
struct Place {
    std::size_t codes, scales, outer;
};

Place place(const Coding& c, int columns, int group) {
    const int each = c.block_columns(columns) / c.group, within = group % each;
    const std::size_t block = group / each * c.block_bytes(columns);
    return {block + c.scales_end(columns) + within * c.code_bytes(), block + c.outer_bytes() + within * c.scale_bytes(), block};
}

// Where a code is in its group: the low bits, and those above them, of which a plane holds eight bits.
struct Bits {
    int low, low_shift, high, high_shift;
};

Bits bits(const Coding& c, int column, int lane) {
    const int block = column / 4, place = lane * 4 + column % 4, whole = 4 * kLanes;
    if (c.bits == 8) return {block * whole + place, 0, 0, 0};
    return {block / 2 * whole + place, block % 2 * 4, c.group / 8 * whole + place, block * (c.bits - 4)};
}

// A row's codes of a group: four columns at a time, as one number whose bytes they are.
void put_codes(const Coding& c, U8* group, int lane, const U8* codes) {
    constexpr std::uint32_t fours = 0x0f0f0f0f;
    auto four = [codes](int block) {
        std::uint32_t bytes;
        std::memcpy(&bytes, codes + 4 * block, 4);
        return bytes;
    };
    auto put = [group, lane](int line, std::uint32_t bytes) { std::memcpy(group + (line * kLanes + lane) * 4, &bytes, 4); };
    const int blocks = c.group / 4;
    if (c.bits == 8) {
        for (int block = 0; block < blocks; block++) put(block, four(block));
        return;
    }
    std::uint32_t above = 0;
    for (int block = 0; block < blocks; block += 2) {
        const std::uint32_t first = four(block), second = four(block + 1);
        put(block / 2, (first & fours) | (second & fours) << 4);
        above |= (first >> 4 & fours) << (c.bits - 4) * block | (second >> 4 & fours) << (c.bits - 4) * (block + 1);
    }
    if (c.bits > 4) put(blocks / 2, above);
}

int code_at(const Coding& c, const U8* group, int column, int lane) {
    const Bits at = bits(c, column, lane);
    if (c.bits == 8) return group[at.low];
    const int low = (group[at.low] >> at.low_shift) & 15;
    if (c.bits == 4) return low;
    return low | ((group[at.high] >> at.high_shift) & ((1 << (c.bits - 4)) - 1)) << 4;
}

bool put_half(float number, U8* at) {
    std::uint16_t half = to_half(number);
    std::memcpy(at, &half, 2);
    return from_half(half) == number;
}

// Whether the scales are what the block says, whose first group is here.
bool put_scales(const Coding& c, const Block& block, const Place& at, int lane, U8* tile) {
    if (!c.nested) {
        U8* scales = tile + at.scales + 2 * lane;
        bool exact = put_half(block.scale, scales);
        return (c.middle || put_half(block.least, scales + 2 * kLanes)) && exact;
    }
    U8* outer = tile + at.outer + 4 * lane;
    std::memcpy(outer, &block.scale, 4);
    if (!c.middle) std::memcpy(outer + 4 * kLanes, &block.least, 4);
    for (int g = 0; g < kOuter / c.group; g++) {
        U8* small = tile + at.scales + g * c.scale_bytes() + lane;
        std::memcpy(small, &block.scales[g], 1);
        if (!c.middle) std::memcpy(small + kLanes, &block.minima[g], 1);
    }
    return true;
}

// A group's scale and minimum.
std::pair<double, double> scales_at(const Coding& c, int columns, const U8* tile, int group, int lane) {
    const Place at = place(c, columns, group);
    auto one = [&](int part) -> double {
        if (!c.nested) return half_at(tile + at.scales + 2 * (part * kLanes + lane));
        float outer;
        std::memcpy(&outer, tile + at.outer + 4 * (part * kLanes + lane), 4);
        return static_cast<double>(outer) * static_cast<std::int8_t>(tile[at.scales + part * kLanes + lane]);
    };
    const double scale = one(0);
    return {scale, c.middle ? -c.middle * scale : one(1)};
}

bool pack_coded_row(const Format& f, const U8* row, const Matrix& m, int lane, U8* tile) {
    const Coding c = coding(f.code);
    const std::size_t code_bytes = c.code_bytes(), scale_bytes = c.scale_bytes();
    const int together = c.block_columns(m.columns) / c.group, groups = f.size / c.group;
    Block block;
    Place at{};
    bool exact = true;
    for (int g = 0; g < m.columns / c.group; g += groups, row += f.bytes) {
        if (g % together == 0) at = place(c, m.columns, g);
        f.read(row, block);
        exact &= put_scales(c, block, at, lane, tile);
        for (int i = 0; i < groups; i++) put_codes(c, tile + at.codes + i * code_bytes, lane, block.codes + i * c.group);
        at.codes += groups * code_bytes;
        at.scales += groups * scale_bytes;
    }
    return exact;
}

}  // namespace

bool can_pack(const std::string& kind, int columns) {
    if (dense_bytes(kind)) return true;
    const Format* f = find(kind);
    return f && columns % f->size == 0 && columns % kGroup == 0;
}

std::size_t row_bytes(const std::string& kind, int columns) {
    const Format* f = find(kind);
    return f ? static_cast<std::size_t>(columns / f->size) * f->bytes : static_cast<std::size_t>(columns) * dense_bytes(kind);
}

Packed::Packed(const std::string& kind, const U8* data, std::size_t stride, int rows, int columns,
               Pool& pool, Arena& arena) {
    if (!can_pack(kind, columns)) throw std::invalid_argument("cannot pack " + kind);
    const Format* f = find(kind);
    int size = dense_bytes(kind);
    Code code = f ? f->code : size == 4 ? Code::f32 : kind == "F16" ? Code::f16 : Code::bf16;
    const std::size_t tile_bytes = f ? coding(code).tile_bytes(columns) : static_cast<std::size_t>(columns) * kLanes * size;
    matrix_ = {code, rows, columns, tile_bytes, nullptr};
    const std::int64_t tiles = (static_cast<std::int64_t>(rows) + kLanes - 1) / kLanes;
    bytes_ = matrix_.tile_bytes * tiles;
    constexpr std::size_t beyond = 8192;    // the kernels prefetch past the end
    memory_ = arena.take(bytes_ + beyond);
    matrix_.data = memory_.get();
    pool.run([&](int t) {
        for (std::int64_t tile = tiles * t / pool.size(); tile < tiles * (t + 1) / pool.size(); tile++) {
            U8* out = memory_.get() + matrix_.tile_bytes * tile;
            const int lanes = static_cast<int>(std::min<std::int64_t>(kLanes, rows - tile * kLanes));
            if (lanes < kLanes) std::memset(out, 0, matrix_.tile_bytes);
            for (int lane = 0; lane < lanes; lane++) {
                const U8* row = data + stride * (tile * kLanes + lane);
                if (!f)
                    pack_dense_row(row, columns, size, lane, out);
                else if (!pack_coded_row(*f, row, matrix_, lane, out))
                    exact_ = false;
            }
        }
    });
}

// In double, where nothing is rounded but the result.
void coded_row(const Matrix& m, const U8* tile, int lane, float* out) {
    const Coding c = coding(m.code);
    for (int g = 0; g < m.columns / c.group; g++) {
        auto [scale, least] = scales_at(c, m.columns, tile, g, lane);
        const U8* codes = tile + place(c, m.columns, g).codes;
        for (int i = 0; i < c.group; i++) *out++ = static_cast<float>(code_at(c, codes, i, lane) * scale + least);
    }
}

void Packed::row(int row, float* out) const {
    const U8* tile = matrix_.data + matrix_.tile_bytes * (row / kLanes);
    int lane = row % kLanes;
    if (coded(matrix_.code)) return coded_row(matrix_, tile, lane, out);
    for (int c = 0; c < matrix_.columns; c++) {
        std::size_t at = static_cast<std::size_t>(c) * kLanes + lane;
        switch (matrix_.code) {
            case Code::f32: std::memcpy(out + c, tile + 4 * at, 4); break;
            case Code::f16: out[c] = half_at(tile + 2 * at); break;
            case Code::bf16: {
                std::uint32_t bits = tile[2 * at] << 16 | static_cast<std::uint32_t>(tile[2 * at + 1]) << 24;
                std::memcpy(out + c, &bits, 4);
                break;
            }
            default: break;
        }
    }
}

}  // namespace pellucid
