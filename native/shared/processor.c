/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "shared/processor.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <stdint.h>

/* Intel's manual, volume 1, 14.3 and 14.7: how to find out. */
enum { OSXSAVE = 1 << 27, AVX = 1 << 28, AVX2 = 1 << 5, XMM_AND_YMM_SAVED = 6, FEATURES = 7 };

/* Asked once: under a hypervisor CPUID is slow.  Not by __builtin_cpu_supports(), which needs a
 * constructor that not every compiler's run-time library has. */
static bool has_avx2;

static uint32_t saved_registers(void) {
    uint32_t low, high;

    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

__attribute__((constructor)) static void ask(void) {
    uint32_t a, b, c, d;

    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & (OSXSAVE | AVX)) != (OSXSAVE | AVX) ||
        (saved_registers() & XMM_AND_YMM_SAVED) != XMM_AND_YMM_SAVED)
        return;
    has_avx2 = __get_cpuid_count(FEATURES, 0, &a, &b, &c, &d) && (b & AVX2);
}

bool processor_has_avx2(void) {
    return has_avx2;
}
#else
bool processor_has_avx2(void) {
    return false;
}
#endif
