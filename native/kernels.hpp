// The operations on rows of numbers, one table of them for each instruction set.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "tile.hpp"

namespace pellucid {

constexpr int kPage = 64;       // positions of keys and values that are stored together
constexpr int kRange = 4 * kPage;   // keys that are gathered together, and then joined to the rest
constexpr int kGroup = 32;      // activations that share a scale
constexpr int kMaxHead = 512;   // dimensions of a head
constexpr int kQueries = 16;    // that are gathered for together
constexpr int kTails = 8;       // thresholds that one pass over a vocabulary compares with

enum class Act : int { silu, gelu, gelu_tanh, relu };

// Of 32 columns of activations: a number is its 16 bits times `scale`. Of the 16 bits there are the sum of
// all, and those of the first 16 columns and the last; `sum` is of the numbers.
struct RowGroup {
    float scale, sum;
    std::int32_t whole, halves[2];
};

// Rows of activations as 16-bit numbers: for each group of 32 columns, 32 high bytes, then 32 low
// bytes, so that a number is (high * 256 + low) * scale.
struct Quantised {
    std::uint8_t* bytes;        // [rows][columns / 32][64]
    RowGroup* groups;              // [rows][columns / 32]
    int columns;
};

struct Keys {                   // of one page and one head: keys [head_dim][64], values [64][padded_dim]
    const void* keys;
    const void* values;
    const void* next;           // the keys that will be wanted after these; only fetched ahead
};

struct Attention {
    bool full;                  // keys and values are f32, else f16
    int head_dim, padded_dim;   // padded to a multiple of 16, with zeros
    float scale, softcap;       // softcap 0: none
};

// What a query has gathered over a range of keys: the sum of weights, their largest score, and the
// weighted sum of values [padded_dim], not yet divided.
struct Gathered {
    float max, sum;
    float* mixed;
};

struct Kernels {
    const char* name;
    int tiles;                  // of a matrix that are computed together: to cut them apart costs time
    void (*quantise)(const float* x, int columns, std::uint8_t* bytes, RowGroup* groups);
    // out[r * stride + 16 * tile ...] for rows of activations and tiles [first, last) of the matrix.
    void (*linear_packed)(const Matrix&, const Quantised&, int row0, int row1, int first, int last,
                          const float* bias, float* out, std::ptrdiff_t stride);
    void (*linear_dense)(const Matrix&, const float* x, std::ptrdiff_t x_stride, int row0, int row1,
                         int first, int last, const float* bias, float* out, std::ptrdiff_t stride);
    void (*norm)(const float* x, const float* weight, const float* bias, int width, float eps,
                 bool centre, float* out);
    void (*activate)(const float* x, std::size_t n, Act kind, float* out);
    void (*add)(const float* a, const float* b, std::size_t n, float* out);
    void (*multiply)(const float* a, const float* b, std::size_t n, float* out);
    void (*scale)(const float* a, float by, std::size_t n, float* out);
    void (*softcap)(const float* a, float cap, std::size_t n, float* out);
    // False if a number is too large for f16, and became infinite.
    bool (*to_half)(const float* x, std::size_t n, std::uint16_t* out);
    // Up to kQueries queries over the pages of a range; of query i its keys [from[i], to[i]) count.
    void (*attend)(const Attention&, const Keys* pages, int queries, const float* const* q,
                   const int* from, const int* to, Gathered* gathered);
    // Join what was gathered over the next range to what was before.
    void (*join)(Gathered& before, const Gathered& next, int padded_dim);
    // Over a vocabulary; see vocabulary.hpp. How many numbers are above minus infinity; and the largest
    // of all, or NaN if there is one.
    std::size_t (*peak)(const float* x, std::size_t n, float* highest);
    // The sum of e^((x - most) / by); each goes to `weights` unless that is null. No x is above
    // `most` by more than a rounding.
    double (*weigh)(const float* x, std::size_t n, float most, float by, float* weights);
    // Places where low <= x < high; a high of NaN is no bound. -> how many; `places` has room for n.
    std::size_t (*between)(const float* x, std::size_t n, float low, float high, std::uint32_t* places);
    // How many numbers reach a threshold, which is not minus infinity.
    std::size_t (*reach)(const float* x, std::size_t n, float threshold);
    // By a number above 0. What is finite is not minus infinity afterwards, but the lowest number at least.
    void (*divide)(const float* a, float by, std::size_t n, float* out);
    // For each of kTails thresholds: adds the sum of the weights whose keys reach it, and how many do.
    void (*tails)(const float* keys, const float* weights, std::size_t n, const float* thresholds,
                  double* sums, std::size_t* counts);
};

const Kernels* portable_kernels();
const Kernels* avx2_kernels();      // null where the processor or the build has none
const Kernels* avx512_kernels();
const Kernels* neon_kernels();
const Kernels* dotprod_kernels();

// Those that this processor can run, the fastest first.
inline std::vector<const Kernels*> all_kernels() {
    std::vector<const Kernels*> all;
    for (const Kernels* k : {avx512_kernels(), avx2_kernels(), dotprod_kernels(), neon_kernels(), portable_kernels()})
        if (k) all.push_back(k);
    return all;
}

}  // namespace pellucid
