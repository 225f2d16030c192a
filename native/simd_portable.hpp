// Sixteen numbers at once, in plain C++: what every processor runs, and what the others are tested against.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

namespace pellucid::portable {

constexpr int kRows = 4, kTiles = 1, kFewSums = 0;    // of a matrix product, whose sums are in registers together
constexpr int kSums = 16;    // vectors of other sums; no registers hold so many, but fewer took longer

inline float from_half(std::uint16_t h) {
    std::uint32_t sign = (h & 0x8000u) << 16, exponent = (h >> 10) & 31, fraction = h & 0x3ff, bits;
    if (exponent == 31) {
        bits = sign | 0x7f800000u | (fraction << 13);
    } else if (exponent) {
        bits = sign | ((exponent + 112) << 23) | (fraction << 13);
    } else {
        float value = std::ldexp(static_cast<float>(fraction), -24);
        return sign ? -value : value;
    }
    float f;
    std::memcpy(&f, &bits, 4);
    return f;
}

inline std::uint16_t to_half(float f) {     // to nearest, ties to even
    std::uint32_t bits;
    std::memcpy(&bits, &f, 4);
    std::uint32_t sign = (bits >> 16) & 0x8000u, size = bits & 0x7fffffffu;
    if (size > 0x7f800000u) return static_cast<std::uint16_t>(sign | 0x7e00u);
    if (size >= 0x477ff000u) return static_cast<std::uint16_t>(sign | 0x7c00u);
    if (size < 0x38800000u) {               // subnormal in f16
        float value;
        std::memcpy(&value, &size, 4);
        return static_cast<std::uint16_t>(sign | static_cast<std::uint32_t>(std::nearbyint(std::ldexp(value, 24))));
    }
    std::uint32_t rounded = size + 0xfffu + ((size >> 13) & 1);
    return static_cast<std::uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
}

struct F {
    float v[16];
    static F all(float x) {
        F r;
        for (float& e : r.v) e = x;
        return r;
    }
    static F zero() { return all(0.0f); }
    static F load(const float* p) {
        F r;
        std::memcpy(r.v, p, sizeof r.v);
        return r;
    }
    static F half(const std::uint16_t* p) {
        F r;
        for (int i = 0; i < 16; i++) r.v[i] = from_half(p[i]);
        return r;
    }
    static F brain(const std::uint16_t* p) {
        F r;
        for (int i = 0; i < 16; i++) {
            std::uint32_t bits = static_cast<std::uint32_t>(p[i]) << 16;
            std::memcpy(&r.v[i], &bits, 4);
        }
        return r;
    }
    static F small(const std::uint8_t* p) {     // whole numbers of a signed byte
        F r;
        for (int i = 0; i < 16; i++) r.v[i] = static_cast<std::int8_t>(p[i]);
        return r;
    }
    void store(float* p) const { std::memcpy(p, v, sizeof v); }
    void store_half(std::uint16_t* p) const {
        for (int i = 0; i < 16; i++) p[i] = to_half(v[i]);
    }
};
template <class Function>
inline F zip(F a, F b, Function f) {
    for (int i = 0; i < 16; i++) a.v[i] = f(a.v[i], b.v[i]);
    return a;
}
inline F operator+(F a, F b) { return zip(a, b, [](float x, float y) { return x + y; }); }
inline F operator-(F a, F b) { return zip(a, b, [](float x, float y) { return x - y; }); }
inline F operator*(F a, F b) { return zip(a, b, [](float x, float y) { return x * y; }); }
inline F operator/(F a, F b) { return zip(a, b, [](float x, float y) { return x / y; }); }
inline F max(F a, F b) { return zip(a, b, [](float x, float y) { return x > y ? x : y; }); }
inline F min(F a, F b) { return zip(a, b, [](float x, float y) { return x < y ? x : y; }); }
inline F abs(F a) { return zip(a, a, [](float x, float) { return std::fabs(x); }); }
inline F nearest(F a) { return zip(a, a, [](float x, float) { return std::nearbyint(x); }); }
inline F times_two_to(F a, F n) {
    return zip(a, n, [](float x, float e) { return e == e ? std::ldexp(x, static_cast<int>(e)) : e; });
}
inline F fma(F a, F b, F c) {
#ifdef __FP_FAST_FMAF
    for (int i = 0; i < 16; i++) c.v[i] = std::fma(a.v[i], b.v[i], c.v[i]);
#else
    for (int i = 0; i < 16; i++) c.v[i] += a.v[i] * b.v[i];
#endif
    return c;
}
inline float sum(F a) {
    float total = 0;
    for (float e : a.v) total += e;
    return total;
}
inline float largest(F a) {
    float top = a.v[0];
    for (float e : a.v) top = e > top ? e : top;
    return top;
}
inline F within(F a, F b, int from, int to) {
    for (int i = 0; i < 16; i++)
        if (i < from || i >= to) a.v[i] = b.v[i];
    return a;
}

inline unsigned at_least(F a, F b) {
    unsigned bits = 0;
    for (int i = 0; i < 16; i++) bits |= static_cast<unsigned>(a.v[i] >= b.v[i]) << i;
    return bits;
}
inline F where_at_least(F a, F b, F x, F y) {
    for (int i = 0; i < 16; i++) x.v[i] = a.v[i] >= b.v[i] ? x.v[i] : y.v[i];
    return x;
}

struct I {
    std::int32_t v[16];
    static I all(std::int32_t x) {
        I r;
        for (std::int32_t& e : r.v) e = x;
        return r;
    }
    static I zero() { return all(0); }
    F to_float() const {
        F r;
        for (int i = 0; i < 16; i++) r.v[i] = static_cast<float>(v[i]);
        return r;
    }
};
inline I operator+(I a, I b) {
    for (int i = 0; i < 16; i++) a.v[i] += b.v[i];
    return a;
}
inline I operator-(I a, I b) {
    for (int i = 0; i < 16; i++) a.v[i] -= b.v[i];
    return a;
}
template <int by>
inline I shifted(I a) {
    for (std::int32_t& e : a.v) e *= 1 << by;
    return a;
}

struct B {
    std::uint8_t v[64];
    static B load(const std::uint8_t* p) {
        B r;
        std::memcpy(r.v, p, sizeof r.v);
        return r;
    }
    B low() const {
        B r;
        for (int i = 0; i < 64; i++) r.v[i] = v[i] & 15;
        return r;
    }
    B high() const {
        B r;
        for (int i = 0; i < 64; i++) r.v[i] = v[i] >> 4;
        return r;
    }
};
// Codes of four bits, with `count` more of each byte of a plane, from bit `at` on, above them.
template <int at, int count>
inline B with_above(B four, const B& plane) {
    for (int i = 0; i < 64; i++) four.v[i] |= ((plane.v[i] >> at) & ((1 << count) - 1)) << 4;
    return four;
}
template <int bits>
inline I dot(I sums, const B& codes, const std::uint8_t* four) {
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 4; j++) sums.v[i] += codes.v[4 * i + j] * static_cast<std::int8_t>(four[j]);
    return sums;
}

inline void split_bytes(F a, F b, std::uint8_t* high, std::uint8_t* low, std::int32_t* sums) {
    sums[0] = sums[1] = 0;
    for (int i = 0; i < 32; i++) {
        auto x = static_cast<std::int32_t>(std::nearbyint(i < 16 ? a.v[i] : b.v[i - 16]));
        sums[i / 16] += x;
        std::int32_t h = (x + 128) >> 8;
        high[i] = static_cast<std::uint8_t>(h);
        low[i] = static_cast<std::uint8_t>(x - h * 256);
    }
}

inline void prefetch_to_write(const void*) {}
inline void prefetch_to_second(const void*) {}
inline void prefetch(const void*) {}

}  // namespace pellucid::portable
