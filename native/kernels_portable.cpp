#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "kernels.hpp"
#include "simd_portable.hpp"

namespace pellucid::portable {
#include "kernels.inc"
}

namespace pellucid {
const Kernels* portable_kernels() {
    return portable::table("portable");
}
}  // namespace pellucid
