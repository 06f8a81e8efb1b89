/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#pragma once
#include <stdbool.h>

/* Counts a frame that is on its way to the screen; whether it is the program's last. */
bool is_last_frame(void);

/* Tells of it and waits for ever. */
_Noreturn void hold(void);
