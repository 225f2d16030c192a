// Sixteen numbers at once: AVX-512 with VNNI.
#pragma once
#include <immintrin.h>

#include <cstdint>

namespace pellucid::avx512 {
#include "simd_x86.hpp"

constexpr int kRows = 8, kTiles = 2, kFewSums = 8;    // of a matrix product, whose sums are in registers together
constexpr int kSums = 16;    // vectors of sums that registers hold beside what is multiplied

struct F {
    __m512 v;
    static F zero() { return {_mm512_setzero_ps()}; }
    static F all(float x) { return {_mm512_set1_ps(x)}; }
    static F load(const float* p) { return {_mm512_loadu_ps(p)}; }
    static F half(const std::uint16_t* p) {
        return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
    }
    static F brain(const std::uint16_t* p) {
        __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
        return {_mm512_castsi512_ps(_mm512_slli_epi32(wide, 16))};
    }
    static F small(const std::uint8_t* p) {     // whole numbers of a signed byte
        return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))))};
    }
    void store(float* p) const { _mm512_storeu_ps(p, v); }
    void store_half(std::uint16_t* p) const {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                            _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    }
};
inline F operator+(F a, F b) { return {_mm512_add_ps(a.v, b.v)}; }
inline F operator-(F a, F b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline F operator*(F a, F b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline F operator/(F a, F b) { return {_mm512_div_ps(a.v, b.v)}; }
inline F fma(F a, F b, F c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline F max(F a, F b) { return {_mm512_max_ps(a.v, b.v)}; }
inline F min(F a, F b) { return {_mm512_min_ps(a.v, b.v)}; }
inline F abs(F a) { return {_mm512_abs_ps(a.v)}; }
inline F nearest(F a) { return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
inline F times_two_to(F a, F n) { return {_mm512_scalef_ps(a.v, n.v)}; }
inline float sum(F a) { return _mm512_reduce_add_ps(a.v); }
inline float largest(F a) { return _mm512_reduce_max_ps(a.v); }
// a where from <= lane < to, else b
inline F within(F a, F b, int from, int to) {
    __mmask16 upto = to >= 16 ? 0xffff : to <= 0 ? 0 : static_cast<__mmask16>((1u << to) - 1);
    __mmask16 below = from >= 16 ? 0xffff : from <= 0 ? 0 : static_cast<__mmask16>((1u << from) - 1);
    return {_mm512_mask_mov_ps(b.v, static_cast<__mmask16>(upto & ~below), a.v)};
}

// Bit i is set where a[i] >= b[i]; nowhere that either is not a number.
inline unsigned at_least(F a, F b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_GE_OQ); }
// x where a >= b, else y
inline F where_at_least(F a, F b, F x, F y) {
    return {_mm512_mask_mov_ps(y.v, _mm512_cmp_ps_mask(a.v, b.v, _CMP_GE_OQ), x.v)};
}

struct I {      // 16 sums of products
    __m512i v;
    static I zero() { return {_mm512_setzero_si512()}; }
    static I all(std::int32_t x) { return {_mm512_set1_epi32(x)}; }
    F to_float() const { return {_mm512_cvtepi32_ps(v)}; }
};
inline I operator+(I a, I b) { return {_mm512_add_epi32(a.v, b.v)}; }
inline I operator-(I a, I b) { return {_mm512_sub_epi32(a.v, b.v)}; }
template <int by>
inline I shifted(I a) { return {_mm512_slli_epi32(a.v, by)}; }

struct B {      // 16 rows of 4 codes
    __m512i v;
    static B load(const std::uint8_t* p) { return {_mm512_loadu_si512(p)}; }
    B low() const { return {_mm512_and_si512(v, _mm512_set1_epi8(15))}; }
    B high() const { return {_mm512_and_si512(_mm512_srli_epi16(v, 4), _mm512_set1_epi8(15))}; }
};
// Codes of four bits, with `count` more of each byte of a plane, from bit `at` on, above them.
template <int at, int count>
inline B with_above(B four, B plane) {
    constexpr int by = at - 4;
    __m512i moved = plane.v;
    if constexpr (by > 0) moved = _mm512_srli_epi16(plane.v, by);
    if constexpr (by < 0) moved = _mm512_slli_epi16(plane.v, -by);
    const __m512i mask = _mm512_set1_epi8(((1 << count) - 1) << 4);
    return {_mm512_ternarylogic_epi32(four.v, moved, mask, 0xf8)};      // four | (moved & mask)
}
// Adds, for each row, its four codes times four signed bytes.
template <int bits>
inline I dot(I sums, B codes, const std::uint8_t* four) {
    std::int32_t broadcast;
    __builtin_memcpy(&broadcast, four, 4);
    return {_mm512_dpbusd_epi32(sums.v, codes.v, _mm512_set1_epi32(broadcast))};
}

// Two vectors of 16 numbers -> 32 high bytes, 32 low bytes; the sums of each 16.
inline void split_bytes(F a, F b, std::uint8_t* high, std::uint8_t* low, std::int32_t* sums) {
    split_sixteens(_mm512_cvtepi32_epi16(_mm512_cvtps_epi32(a.v)), _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(b.v)), high, low, sums);
}

inline void prefetch_to_write(const void* p) { __builtin_prefetch(p, 1); }
inline void prefetch_to_second(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1); }
inline void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }

}  // namespace pellucid::avx512
