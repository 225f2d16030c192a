// Sixteen numbers at once, as two halves: AVX2 with FMA and F16C.
#pragma once
#include <immintrin.h>

#include <cstdint>

namespace pellucid::avx2 {
#include "simd_x86.hpp"

constexpr int kRows = 4, kTiles = 1, kFewSums = 2;    // of a matrix product, whose sums are in registers together
constexpr int kSums = 6;    // vectors of sums that registers hold beside what is multiplied

struct F {
    __m256 a, b;
    static F zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
    static F all(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
    static F load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
    static __m128i eight(const std::uint16_t* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
    static F half(const std::uint16_t* p) { return {_mm256_cvtph_ps(eight(p)), _mm256_cvtph_ps(eight(p + 8))}; }
    static __m256 brain8(const std::uint16_t* p) {
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(eight(p)), 16));
    }
    static F brain(const std::uint16_t* p) { return {brain8(p), brain8(p + 8)}; }
    static __m256 small8(const std::uint8_t* p) {       // whole numbers of a signed byte
        return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
    }
    static F small(const std::uint8_t* p) { return {small8(p), small8(p + 8)}; }
    void store(float* p) const {
        _mm256_storeu_ps(p, a);
        _mm256_storeu_ps(p + 8, b);
    }
    void store_half(std::uint16_t* p) const {
        constexpr int how = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
        _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(a, how));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 8), _mm256_cvtps_ph(b, how));
    }
};
inline F operator+(F x, F y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
inline F operator-(F x, F y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
inline F operator*(F x, F y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
inline F operator/(F x, F y) { return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)}; }
inline F fma(F x, F y, F z) { return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)}; }
inline F max(F x, F y) { return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }
inline F min(F x, F y) { return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)}; }
inline F abs(F x) {
    __m256 sign = _mm256_set1_ps(-0.0f);
    return {_mm256_andnot_ps(sign, x.a), _mm256_andnot_ps(sign, x.b)};
}
inline F nearest(F x) {
    constexpr int how = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    return {_mm256_round_ps(x.a, how), _mm256_round_ps(x.b, how)};
}
inline __m256 shifted(__m256 x, __m256 n) {     // x * 2^n in two steps, so that no exponent wraps
    __m256i whole = _mm256_cvtps_epi32(n), first = _mm256_srai_epi32(whole, 1);
    auto power = [](__m256i e) {
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(e, _mm256_set1_epi32(127)), 23));
    };
    return _mm256_mul_ps(_mm256_mul_ps(x, power(first)), power(_mm256_sub_epi32(whole, first)));
}
inline F times_two_to(F x, F n) { return {shifted(x.a, n.a), shifted(x.b, n.b)}; }
inline float sum(F x) {
    __m256 s = _mm256_add_ps(x.a, x.b);
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_shuffle_ps(q, q, 1)));
}
inline float largest(F x) {
    __m256 s = _mm256_max_ps(x.a, x.b);
    __m128 q = _mm_max_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
    q = _mm_max_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_max_ss(q, _mm_shuffle_ps(q, q, 1)));
}
inline F within(F x, F y, int from, int to) {
    auto half = [from, to](__m256 u, __m256 v, int first) {
        __m256i lane = _mm256_add_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32(first));
        __m256i below = _mm256_cmpgt_epi32(_mm256_set1_epi32(from), lane);
        __m256i upto = _mm256_cmpgt_epi32(_mm256_set1_epi32(to), lane);
        return _mm256_blendv_ps(v, u, _mm256_castsi256_ps(_mm256_andnot_si256(below, upto)));
    };
    return {half(x.a, y.a, 0), half(x.b, y.b, 8)};
}

inline unsigned at_least(F x, F y) {
    auto half = [](__m256 u, __m256 v) {
        return static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps(u, v, _CMP_GE_OQ)));
    };
    return half(x.a, y.a) | half(x.b, y.b) << 8;
}
inline F where_at_least(F x, F y, F u, F v) {
    return {_mm256_blendv_ps(v.a, u.a, _mm256_cmp_ps(x.a, y.a, _CMP_GE_OQ)),
            _mm256_blendv_ps(v.b, u.b, _mm256_cmp_ps(x.b, y.b, _CMP_GE_OQ))};
}

struct I {
    __m256i a, b;
    static I zero() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
    static I all(std::int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
    F to_float() const { return {_mm256_cvtepi32_ps(a), _mm256_cvtepi32_ps(b)}; }
};
inline I operator+(I x, I y) { return {_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)}; }
inline I operator-(I x, I y) { return {_mm256_sub_epi32(x.a, y.a), _mm256_sub_epi32(x.b, y.b)}; }
template <int by>
inline I shifted(I x) { return {_mm256_slli_epi32(x.a, by), _mm256_slli_epi32(x.b, by)}; }

struct B {
    __m256i a, b;
    static B load(const std::uint8_t* p) {
        const auto* q = reinterpret_cast<const __m256i*>(p);
        return {_mm256_loadu_si256(q), _mm256_loadu_si256(q + 1)};
    }
    B low() const {
        __m256i mask = _mm256_set1_epi8(15);
        return {_mm256_and_si256(a, mask), _mm256_and_si256(b, mask)};
    }
    B high() const {
        __m256i mask = _mm256_set1_epi8(15);
        return {_mm256_and_si256(_mm256_srli_epi16(a, 4), mask), _mm256_and_si256(_mm256_srli_epi16(b, 4), mask)};
    }
};
template <int at, int count>
inline B with_above(B four, B plane) {
    auto half = [](__m256i low, __m256i above) {
        constexpr int by = at - 4;
        if constexpr (by > 0) above = _mm256_srli_epi16(above, by);
        if constexpr (by < 0) above = _mm256_slli_epi16(above, -by);
        return _mm256_or_si256(low, _mm256_and_si256(above, _mm256_set1_epi8(((1 << count) - 1) << 4)));
    };
    return {half(four.a, plane.a), half(four.b, plane.b)};
}
inline __m256i fours(__m256i codes, __m256i x) {     // codes to 63: two products fit 16 bits
    return _mm256_madd_epi16(_mm256_maddubs_epi16(codes, x), _mm256_set1_epi16(1));
}
template <int bits>
inline I dot(I sums, B codes, const std::uint8_t* four) {
    std::int32_t broadcast;
    __builtin_memcpy(&broadcast, four, 4);
    __m256i x = _mm256_set1_epi32(broadcast);
    if (bits < 8)
        return {_mm256_add_epi32(sums.a, fours(codes.a, x)), _mm256_add_epi32(sums.b, fours(codes.b, x))};
    B low = codes.low(), high = codes.high();       // code = 16 * high + low
    auto both = [x](__m256i l, __m256i h) {
        return _mm256_add_epi32(fours(l, x), _mm256_slli_epi32(fours(h, x), 4));
    };
    return {_mm256_add_epi32(sums.a, both(low.a, high.a)), _mm256_add_epi32(sums.b, both(low.b, high.b))};
}

inline void split_bytes(F x, F y, std::uint8_t* high, std::uint8_t* low, std::int32_t* sums) {
    auto sixteen = [](F v) { return in_order(_mm256_packs_epi32(_mm256_cvtps_epi32(v.a), _mm256_cvtps_epi32(v.b))); };
    split_sixteens(sixteen(x), sixteen(y), high, low, sums);
}

inline void prefetch_to_write(const void* p) { __builtin_prefetch(p, 1); }
inline void prefetch_to_second(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1); }
inline void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }

}  // namespace pellucid::avx2
