/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "rutabaga/numbers.h"

#include <stdlib.h>

bool numbers_have(const uint32_t *numbers, uint32_t count, uint32_t number) {
    for (uint32_t i = 0; i < count; i++)
        if (numbers[i] == number)
            return true;
    return false;
}

bool numbers_add(uint32_t **numbers, uint32_t *count, uint32_t *room, uint32_t number) {
    if (numbers_have(*numbers, *count, number))
        return true;
    if (*count == *room) {
        uint32_t wanted = *room != 0 ? 2 * *room : 4;
        uint32_t *larger = realloc(*numbers, wanted * sizeof(*larger));
        if (larger == NULL)
            return false;
        *numbers = larger;
        *room = wanted;
    }
    (*numbers)[(*count)++] = number;
    return true;
}

void numbers_remove(uint32_t *numbers, uint32_t *count, uint32_t number) {
    for (uint32_t i = 0; i < *count; i++) {
        if (numbers[i] == number) {
            numbers[i] = numbers[--*count];
            return;
        }
    }
}
