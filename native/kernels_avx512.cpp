#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "kernels.hpp"

#if defined(__AVX512VNNI__) && defined(__AVX512BW__) && defined(__AVX512VL__) && defined(__AVX512DQ__)
#include "simd_avx512.hpp"

namespace pellucid::avx512 {
#include "kernels.inc"
}

namespace pellucid {
const Kernels* avx512_kernels() {
    static const bool has = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                            __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                            __builtin_cpu_supports("avx512vnni");
    return has ? avx512::table("avx512") : nullptr;
}
}  // namespace pellucid

#else
namespace pellucid {
const Kernels* avx512_kernels() { return nullptr; }
}  // namespace pellucid
#endif
