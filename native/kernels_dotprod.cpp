#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "kernels.hpp"

#if defined(__aarch64__) && defined(__ARM_FEATURE_DOTPROD)      // as CMakeLists.txt asks on ARM
#include <arm_neon.h>
#if defined(__APPLE__)
#include <sys/sysctl.h>
#elif defined(__linux__)
#include <sys/auxv.h>
#endif

namespace pellucid::dotprod {
#include "simd_neon.hpp"

#include "kernels.inc"
}

namespace pellucid {
namespace {
bool has_dotprod() {
#if defined(__APPLE__)
    int there = 0;
    std::size_t size = sizeof there;
    return !sysctlbyname("hw.optional.arm.FEAT_DotProd", &there, &size, nullptr, 0) && there;
#elif defined(__linux__)
    constexpr unsigned long asimddp = 1ul << 20;       // HWCAP_ASIMDDP, which headers before 2018 lack
    return getauxval(AT_HWCAP) & asimddp;
#else
    return false;
#endif
}
}  // namespace

const Kernels* dotprod_kernels() {
    static const bool has = has_dotprod();
    return has ? dotprod::table("dotprod") : nullptr;
}
}  // namespace pellucid

#else
namespace pellucid {
const Kernels* dotprod_kernels() { return nullptr; }
}  // namespace pellucid
#endif
