#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "kernels.hpp"

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)     // as CMakeLists.txt asks on x86
#include <cpuid.h>

#include "simd_avx2.hpp"

namespace pellucid::avx2 {
#include "kernels.inc"
}

namespace pellucid {
namespace {
bool has_f16c() {       // a name that __builtin_cpu_supports of older compilers refuses
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}
}  // namespace

const Kernels* avx2_kernels() {
    static const bool has = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
    return has ? avx2::table("avx2") : nullptr;
}
}  // namespace pellucid

#else
namespace pellucid {
const Kernels* avx2_kernels() { return nullptr; }
}  // namespace pellucid
#endif
