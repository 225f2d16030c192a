#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "kernels.hpp"

#if defined(__aarch64__)
#include <arm_neon.h>

namespace pellucid::neon {
#include "simd_neon.hpp"

#include "kernels.inc"
}

namespace pellucid {
const Kernels* neon_kernels() {
    return neon::table("neon");
}
}  // namespace pellucid

#else
namespace pellucid {
const Kernels* neon_kernels() { return nullptr; }
}  // namespace pellucid
#endif
