/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* What this processor can do beyond the minimum of its architecture. */
#ifndef VGPUD_PROCESSOR_H
#define VGPUD_PROCESSOR_H

#include <stdbool.h>

/* [python] */

/* Whether AVX2's instructions may be used: by the processor, and by a kernel that saves their
 * registers. */
bool processor_has_avx2(void);

/* [end python] */

#endif
