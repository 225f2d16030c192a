#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels.hpp"

#if defined(__x86_64__) || defined(_M_X64)
#include "simd_avx2.hpp"

namespace pellucid::avx2 {
#include "kernels.inc"
}

namespace pellucid {
const Kernels* avx2_kernels() {
    static const bool has = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                            __builtin_cpu_supports("f16c");
    return has ? avx2::table("avx2") : nullptr;
}
}  // namespace pellucid

#else
namespace pellucid {
const Kernels* avx2_kernels() { return nullptr; }
}  // namespace pellucid
#endif
