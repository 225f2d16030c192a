// Sixteen numbers at once, as four quarters: NEON of every 64-bit ARM. Included by a file for each of
// its two sets, which differ in `four_products` alone, inside that one's own namespace.

constexpr int kRows = 4, kTiles = 1, kFewSums = 2;    // of a matrix product, whose sums are in registers together
constexpr int kSums = 6;    // vectors of sums that registers hold beside what is multiplied

template <class Q>
struct Quarters {
    Q a, b, c, d;
};
template <class Q, class Function>
inline Quarters<Q> each_quarter(Quarters<Q> x, Quarters<Q> y, Function f) {
    return {f(x.a, y.a), f(x.b, y.b), f(x.c, y.c), f(x.d, y.d)};
}

struct F : Quarters<float32x4_t> {
    static F all(float x) {
        float32x4_t q = vdupq_n_f32(x);
        return {{q, q, q, q}};
    }
    static F zero() { return all(0.0f); }
    static F load(const float* p) { return {{vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12)}}; }
    static float32x4_t half4(const std::uint16_t* p) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p))); }
    static F half(const std::uint16_t* p) { return {{half4(p), half4(p + 4), half4(p + 8), half4(p + 12)}}; }
    static float32x4_t brain4(const std::uint16_t* p) {
        return vreinterpretq_f32_u32(vshlq_n_u32(vmovl_u16(vld1_u16(p)), 16));
    }
    static F brain(const std::uint16_t* p) { return {{brain4(p), brain4(p + 4), brain4(p + 8), brain4(p + 12)}}; }
    static F small(const std::uint8_t* p) {     // whole numbers of a signed byte
        int8x16_t bytes = vreinterpretq_s8_u8(vld1q_u8(p));
        int16x8_t low = vmovl_s8(vget_low_s8(bytes)), high = vmovl_s8(vget_high_s8(bytes));
        auto four = [](int16x4_t v) { return vcvtq_f32_s32(vmovl_s16(v)); };
        return {{four(vget_low_s16(low)), four(vget_high_s16(low)), four(vget_low_s16(high)),
                 four(vget_high_s16(high))}};
    }
    void store(float* p) const {
        vst1q_f32(p, a);
        vst1q_f32(p + 4, b);
        vst1q_f32(p + 8, c);
        vst1q_f32(p + 12, d);
    }
    void store_half(std::uint16_t* p) const {
        auto put = [](std::uint16_t* to, float32x4_t v) { vst1_u16(to, vreinterpret_u16_f16(vcvt_f16_f32(v))); };
        put(p, a);
        put(p + 4, b);
        put(p + 8, c);
        put(p + 12, d);
    }
};
inline F operator+(F x, F y) { return {each_quarter(x, y, [](auto u, auto v) { return vaddq_f32(u, v); })}; }
inline F operator-(F x, F y) { return {each_quarter(x, y, [](auto u, auto v) { return vsubq_f32(u, v); })}; }
inline F operator*(F x, F y) { return {each_quarter(x, y, [](auto u, auto v) { return vmulq_f32(u, v); })}; }
inline F operator/(F x, F y) { return {each_quarter(x, y, [](auto u, auto v) { return vdivq_f32(u, v); })}; }
inline F fma(F x, F y, F z) {
    return {{vfmaq_f32(z.a, x.a, y.a), vfmaq_f32(z.b, x.b, y.b), vfmaq_f32(z.c, x.c, y.c), vfmaq_f32(z.d, x.d, y.d)}};
}
// Not vmaxq and vminq, which give "not a number" where either is: as elsewhere, then the second.
inline F max(F x, F y) {
    return {each_quarter(x, y, [](auto u, auto v) { return vbslq_f32(vcgtq_f32(u, v), u, v); })};
}
inline F min(F x, F y) {
    return {each_quarter(x, y, [](auto u, auto v) { return vbslq_f32(vcltq_f32(u, v), u, v); })};
}
inline F abs(F x) { return {{vabsq_f32(x.a), vabsq_f32(x.b), vabsq_f32(x.c), vabsq_f32(x.d)}}; }
inline F nearest(F x) { return {{vrndnq_f32(x.a), vrndnq_f32(x.b), vrndnq_f32(x.c), vrndnq_f32(x.d)}}; }
inline F times_two_to(F x, F n) {       // in two steps, so that no exponent wraps
    auto power = [](int32x4_t e) { return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(e, vdupq_n_s32(127)), 23)); };
    return {each_quarter(x, n, [power](auto u, auto e) {
        int32x4_t whole = vcvtnq_s32_f32(e), first = vshrq_n_s32(whole, 1);
        return vmulq_f32(vmulq_f32(u, power(first)), power(vsubq_s32(whole, first)));
    })};
}
inline float sum(F x) { return vaddvq_f32(vaddq_f32(vaddq_f32(x.a, x.b), vaddq_f32(x.c, x.d))); }
inline float largest(F x) {     // a number where there is one
    return vmaxnmvq_f32(vmaxnmq_f32(vmaxnmq_f32(x.a, x.b), vmaxnmq_f32(x.c, x.d)));
}
inline F within(F x, F y, int from, int to) {
    static const std::int32_t lanes[] = {0, 1, 2, 3};
    auto quarter = [from, to, lane = vld1q_s32(lanes)](float32x4_t u, float32x4_t v, int first) {
        int32x4_t start = vdupq_n_s32(from - first), end = vdupq_n_s32(to - first);
        return vbslq_f32(vandq_u32(vcgeq_s32(lane, start), vcltq_s32(lane, end)), u, v);
    };
    return {{quarter(x.a, y.a, 0), quarter(x.b, y.b, 4), quarter(x.c, y.c, 8), quarter(x.d, y.d, 12)}};
}
inline unsigned at_least(F x, F y) {
    static const std::uint32_t weights[] = {1, 2, 4, 8};
    auto four = [bits = vld1q_u32(weights)](float32x4_t u, float32x4_t v) {
        return vaddvq_u32(vandq_u32(vcgeq_f32(u, v), bits));
    };
    return four(x.a, y.a) | four(x.b, y.b) << 4 | four(x.c, y.c) << 8 | four(x.d, y.d) << 12;
}
inline F where_at_least(F x, F y, F u, F v) {
    return {{vbslq_f32(vcgeq_f32(x.a, y.a), u.a, v.a), vbslq_f32(vcgeq_f32(x.b, y.b), u.b, v.b),
             vbslq_f32(vcgeq_f32(x.c, y.c), u.c, v.c), vbslq_f32(vcgeq_f32(x.d, y.d), u.d, v.d)}};
}

// For each of four rows, its four codes times four numbers, added to its sum. Codes to 2^bits - 1,
// those of 8 bits less 128.
template <int bits>
inline int32x4_t four_products(int32x4_t sums, int8x16_t codes, int8x16_t x) {
#ifdef __ARM_FEATURE_DOTPROD
    return vdotq_s32(sums, codes, x);
#else
    int16x8_t low = vmull_s8(vget_low_s8(codes), vget_low_s8(x)), high = vmull_high_s8(codes, x);
    if (bits < 8) return vpadalq_s16(sums, vpaddq_s16(low, high));     // two products fit 16 bits
    return vaddq_s32(sums, vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)));
#endif
}

// Sums of products. NEON's bytes have all one sign, or none has: codes of 8 bits are taken less 128, and
// `less`, alike in all lanes, is what the sums lack: -128 times the numbers.
struct I : Quarters<int32x4_t> {
    int32x4_t less;
    static I all(std::int32_t x) {
        int32x4_t q = vdupq_n_s32(x);
        return {{q, q, q, q}, vdupq_n_s32(0)};
    }
    static I zero() { return all(0); }
    F to_float() const {
        auto real = [this](int32x4_t v) { return vcvtq_f32_s32(vsubq_s32(v, less)); };
        return {{real(a), real(b), real(c), real(d)}};
    }
};
inline I operator+(I x, I y) {
    return {each_quarter(x, y, [](auto u, auto v) { return vaddq_s32(u, v); }), vaddq_s32(x.less, y.less)};
}
inline I operator-(I x, I y) {
    return {each_quarter(x, y, [](auto u, auto v) { return vsubq_s32(u, v); }), vsubq_s32(x.less, y.less)};
}
template <int by>
inline I shifted(I x) {
    return {{vshlq_n_s32(x.a, by), vshlq_n_s32(x.b, by), vshlq_n_s32(x.c, by), vshlq_n_s32(x.d, by)},
            vshlq_n_s32(x.less, by)};
}

struct B : Quarters<uint8x16_t> {
    static B load(const std::uint8_t* p) {
        return {{vld1q_u8(p), vld1q_u8(p + 16), vld1q_u8(p + 32), vld1q_u8(p + 48)}};
    }
    B low() const {
        uint8x16_t mask = vdupq_n_u8(15);
        return {{vandq_u8(a, mask), vandq_u8(b, mask), vandq_u8(c, mask), vandq_u8(d, mask)}};
    }
    B high() const { return {{vshrq_n_u8(a, 4), vshrq_n_u8(b, 4), vshrq_n_u8(c, 4), vshrq_n_u8(d, 4)}}; }
};
template <int at, int count>
inline B with_above(B four, B plane) {
    return {each_quarter(four, plane, [](uint8x16_t low, uint8x16_t above) {
        constexpr int by = at - 4;
        if constexpr (by > 0) above = vshrq_n_u8(above, by);
        if constexpr (by < 0) above = vshlq_n_u8(above, -by);
        return vorrq_u8(low, vandq_u8(above, vdupq_n_u8(((1 << count) - 1) << 4)));
    })};
}
template <int bits>
inline I dot(I sums, B codes, const std::uint8_t* four) {
    std::int32_t broadcast;
    std::memcpy(&broadcast, four, 4);
    int8x16_t x = vreinterpretq_s8_s32(vdupq_n_s32(broadcast));
    auto add = [x](int32x4_t to, uint8x16_t v) {
        uint8x16_t code = bits == 8 ? veorq_u8(v, vdupq_n_u8(128)) : v;
        return four_products<bits>(to, vreinterpretq_s8_u8(code), x);
    };
    int32x4_t less = bits == 8 ? four_products<8>(sums.less, vdupq_n_s8(-128), x) : sums.less;
    return {{add(sums.a, codes.a), add(sums.b, codes.b), add(sums.c, codes.c), add(sums.d, codes.d)}, less};
}

inline void split_bytes(F x, F y, std::uint8_t* high, std::uint8_t* low, std::int32_t* sums) {
    auto eight = [](float32x4_t u, float32x4_t v) {     // all fit 16 bits
        return vcombine_s16(vmovn_s32(vcvtnq_s32_f32(u)), vmovn_s32(vcvtnq_s32_f32(v)));
    };
    const int16x8_t all[4] = {eight(x.a, x.b), eight(x.c, x.d), eight(y.a, y.b), eight(y.c, y.d)};
    for (int i = 0; i < 4; i++) {
        vst1_u8(high + 8 * i, vreinterpret_u8_s8(vrshrn_n_s16(all[i], 8)));     // (v + 128) >> 8
        vst1_u8(low + 8 * i, vmovn_u16(vreinterpretq_u16_s16(all[i])));
    }
    sums[0] = vaddlvq_s16(all[0]) + vaddlvq_s16(all[1]);
    sums[1] = vaddlvq_s16(all[2]) + vaddlvq_s16(all[3]);
}

inline void prefetch_to_write(const void* p) { __builtin_prefetch(p, 1); }
inline void prefetch_to_second(const void* p) { __builtin_prefetch(p, 0, 2); }
inline void prefetch(const void* p) { __builtin_prefetch(p); }
