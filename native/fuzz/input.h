/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The fuzzer's bytes, taken value by value; zeros when they have run out. */
#ifndef VGPUD_FUZZ_INPUT_H
#define VGPUD_FUZZ_INPUT_H

#include <stdint.h>
#include <string.h>

struct input {
    const uint8_t *bytes;
    size_t left;
};

static inline void input_copy(struct input *input, void *to, size_t size) {
    size_t there = size < input->left ? size : input->left;

    memset(to, 0, size);
    memcpy(to, input->bytes, there);
    input->bytes += there;
    input->left -= there;
}

static inline uint8_t input_u8(struct input *input) {
    uint8_t value;

    input_copy(input, &value, sizeof(value));
    return value;
}

static inline uint32_t input_u32(struct input *input) {
    uint32_t value;

    input_copy(input, &value, sizeof(value));
    return value;
}

static inline uint64_t input_u64(struct input *input) {
    uint64_t value;

    input_copy(input, &value, sizeof(value));
    return value;
}

/* Mostly a number at which something changes, rarely any other. */
static inline uint32_t input_number(struct input *input) {
    static const uint32_t EDGES[] = {0,     1,      2,      3,          4,          15,
                                     16,    17,     63,     64,         65,         255,
                                     256,   4095,   4096,   32767,      32768,      65535,
                                     65536, 131072, 262144, 0x7fffffff, 0x80000000, 0xffffffff};
    uint8_t choice = input_u8(input);

    if (choice < sizeof(EDGES) / sizeof(EDGES[0]))
        return EDGES[choice];
    return choice < 224 ? choice : input_u32(input);
}

#endif
