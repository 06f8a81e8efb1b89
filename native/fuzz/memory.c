/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The memory table beside a model of it, which is a list: regions come and go as a VMM may order,
 * tables are built beside the one in use and then used or dropped, and each look-up finds exactly
 * what the model has there, or nothing.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "input.h"
#include "ring/memory.h"

enum {
    PAGE = 4096,
    FILES = 4,
    FILE_PAGES = 16,
    STEPS = 256,
    LOG_BYTES = 64, /* of which each bit is a page */
};

struct place {
    uint64_t guest_address, size, user_address, offset;
    unsigned file;
};

struct model {
    struct place places[REGIONS_MAX];
    unsigned count;
    int has_log;
};

/* What a run works on: the table in use, one that is built, and the models of both. */
struct bench {
    struct guest_memory *memory;
    struct memory_table *building;
    struct model used, built;
    int logging;
};

static int files[FILES], log_file;
static uint8_t *logged;

static void require(int holds) {
    if (!holds)
        abort();
}

/* The contents of a file; no two places are the same for long. */
static uint8_t content(unsigned file, uint64_t offset) {
    return (uint8_t)(offset * 31 + offset / 251 + file * 89);
}

static int new_file(const char *name, uint64_t size) {
    int fd = memfd_create(name, MFD_CLOEXEC);

    require(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
    return fd;
}

static void make_files(void) {
    for (unsigned file = 0; file < FILES; file++) {
        uint64_t size = (uint64_t)(FILE_PAGES >> file) * PAGE;
        files[file] = new_file("fuzz", size);
        for (uint64_t offset = 0; offset < size; offset++) {
            uint8_t byte = content(file, offset);
            require(pwrite(files[file], &byte, 1, (off_t)offset) == 1);
        }
    }
    log_file = new_file("log", PAGE);
    logged = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, log_file, 0);
    require(logged != MAP_FAILED);
}

/* ---- numbers as a VMM gives them: near each other, near the ends, rarely any other ---- */

static uint64_t an_address(struct input *input) {
    uint8_t choice = input_u8(input);

    if (choice < 200)
        return (uint64_t)(choice % 40) * PAGE + (choice >= 160 ? input_u8(input) : 0);
    if (choice < 230)
        return UINT64_MAX - (uint64_t)(choice - 200) * (PAGE / 2);
    return choice < 240 ? 1ull << (choice - 180) : input_u64(input);
}

static uint64_t a_size(struct input *input) {
    uint8_t choice = input_u8(input);

    if (choice < 200)
        return (uint64_t)(choice % 20) * PAGE + (choice >= 160 ? input_u8(input) : 0);
    return choice < 230 ? UINT64_MAX - (uint64_t)(choice - 200) * PAGE : input_u64(input);
}

static struct place a_place(struct input *input) {
    struct place place = {.guest_address = an_address(input), .size = a_size(input)};

    place.user_address = an_address(input);
    place.offset = input_u8(input) & 1 ? 0 : an_address(input);
    place.file = input_u8(input) % FILES;
    return place;
}

/* One that exists, if there is one, and the choice says so. */
static struct place a_known_place(const struct model *model, struct input *input) {
    uint8_t choice = input_u8(input);

    if (model->count > 0 && choice < 224)
        return model->places[choice % model->count];
    return a_place(input);
}

/* Right before or after one that exists, or a byte too far. */
static void move_beside(struct place *place, const struct model *model, struct input *input) {
    struct place known = a_known_place(model, input);
    uint8_t choice = input_u8(input);

    if (choice & 1)
        place->guest_address = known.guest_address + known.size - choice % 4 / 2;
    else
        place->guest_address = known.guest_address - place->size + choice % 4 / 2;
}

/* ---- the model ---- */

static int wraps(uint64_t address, uint64_t size) {
    return address + (size - 1) < address;
}

static int overlap(const struct place *one, const struct place *other) {
    return one->guest_address <= other->guest_address + (other->size - 1) &&
           other->guest_address <= one->guest_address + (one->size - 1);
}

static int lies_in_file(const struct place *place) {
    uint64_t size = (uint64_t)(FILE_PAGES >> place->file) * PAGE;

    return place->offset <= size && place->size <= size - place->offset;
}

static int model_add(struct model *model, const struct place *place) {
    if (place->size == 0 || wraps(place->guest_address, place->size) ||
        wraps(place->user_address, place->size))
        return -EINVAL;
    for (unsigned i = 0; i < model->count; i++)
        if (overlap(&model->places[i], place))
            return -EEXIST;
    if (model->count == REGIONS_MAX)
        return -ENOSPC;
    if (!lies_in_file(place))
        return -EINVAL;
    model->places[model->count++] = *place;
    return 0;
}

static int model_remove(struct model *model, const struct place *place) {
    for (unsigned i = 0; i < model->count; i++) {
        struct place *known = &model->places[i];
        if (known->guest_address != place->guest_address || known->size != place->size ||
            known->user_address != place->user_address)
            continue;
        *known = model->places[--model->count];
        return 0;
    }
    return -ENOENT;
}

static const struct place *model_find(const struct model *model, uint64_t guest_address) {
    for (unsigned i = 0; i < model->count; i++)
        if (guest_address - model->places[i].guest_address < model->places[i].size)
            return &model->places[i];
    return NULL;
}

/* ---- changes ---- */

static void add(struct bench *bench, const struct place *place) {
    int added = memory_table_add(bench->building, files[place->file], place->guest_address,
                                 place->size, place->user_address, place->offset);

    require(added == model_add(&bench->built, place));
}

static void add_some(struct bench *bench, struct input *input) {
    struct place place = a_place(input);

    if (input_u8(input) & 1)
        move_beside(&place, &bench->built, input);
    add(bench, &place);
}

/* Towards the maximum number of regions. */
static void add_many(struct bench *bench, struct input *input) {
    struct place place = {.guest_address = 1ull << 32, .size = PAGE};

    place.guest_address += input_u8(input) * (64ull * PAGE);
    for (unsigned i = 0; i < 64; i++) {
        place.user_address = place.guest_address = place.guest_address + PAGE;
        place.file = i % FILES;
        add(bench, &place);
    }
}

static void remove_one(struct bench *bench, struct input *input) {
    struct place place = a_known_place(&bench->built, input);
    int removed;

    if (input_u8(input) == 0)
        place.user_address ^= PAGE;
    removed =
        memory_table_remove(bench->building, place.guest_address, place.size, place.user_address);
    require(removed == model_remove(&bench->built, &place));
}

static void clear(struct bench *bench, struct input *input) {
    (void)input;
    memory_table_clear(bench->building);
    bench->built.count = 0;
}

static void set_log(struct bench *bench, struct input *input) {
    uint8_t choice = input_u8(input);

    if (choice % 4 == 0) {
        require(memory_table_set_log(bench->building, -1, 0, 0) == 0);
        bench->built.has_log = 0;
    } else if (choice % 4 == 1) {
        require(memory_table_set_log(bench->building, log_file, a_size(input) | 2 * PAGE,
                                     an_address(input)) < 0);
    } else {
        require(memory_table_set_log(bench->building, log_file, LOG_BYTES, choice) == 0);
        bench->built.has_log = 1 + choice;
    }
}

static void begin(struct bench *bench) {
    bench->building = guest_memory_table(bench->memory);
    require(bench->building != NULL);
    bench->built = bench->used;
}

static void use(struct bench *bench, struct input *input) {
    (void)input;
    guest_memory_use(bench->memory, bench->building);
    bench->used = bench->built;
    begin(bench);
}

static void give_up(struct bench *bench, struct input *input) {
    (void)input;
    memory_table_free(bench->building);
    begin(bench);
}

static void set_logging(struct bench *bench, struct input *input) {
    bench->logging = input_u8(input) & 1;
    guest_memory_set_logging(bench->memory, bench->logging);
}

/* ---- look-ups ---- */

static uint64_t somewhere(const struct bench *bench, struct input *input) {
    struct place place = a_known_place(&bench->used, input);
    uint8_t choice = input_u8(input);

    if (choice < 128)
        return place.guest_address + (place.size > 0 ? an_address(input) % place.size : 0);
    return place.guest_address + place.size - 128 + choice % 128;
}

static void check_content(const struct place *place, uint64_t guest_address, const uint8_t *bytes,
                          uint64_t length) {
    uint64_t offset = place->offset + (guest_address - place->guest_address);

    require(bytes[0] == content(place->file, offset));
    require(bytes[length - 1] == content(place->file, offset + length - 1));
}

static void find(struct bench *bench, struct input *input) {
    uint64_t address = somewhere(bench, input), wanted = a_size(input), there = wanted;
    const struct place *place = model_find(&bench->used, address);
    uint8_t *bytes = guest_memory_find(bench->memory, address, &there);
    uint64_t left;

    require((bytes != NULL) == (place != NULL));
    if (place == NULL)
        return;
    left = place->size - (address - place->guest_address);
    require(there == (wanted < left ? wanted : left));
    if (there > 0)
        check_content(place, address, bytes, there);
    require((guest_memory_at(bench->memory, address, wanted) != NULL) == (wanted <= left));
}

static void from_user(struct bench *bench, struct input *input) {
    struct place place = a_known_place(&bench->used, input);
    uint64_t user = place.user_address + an_address(input) % (2 * PAGE), length = a_size(input);
    uint64_t guest = 0;
    int found = 0, held = 0;

    for (unsigned i = 0; i < bench->used.count; i++) {
        const struct place *one = &bench->used.places[i];
        uint64_t offset = user - one->user_address;
        held |= offset < one->size && length <= one->size - offset;
    }
    found = guest_memory_from_user(bench->memory, user, length, &guest);
    require(found == held);
    if (found && length > 0)
        require(guest_memory_at(bench->memory, guest, length) != NULL);
}

static void dirty(struct bench *bench, struct input *input) {
    uint64_t page = input_u8(input) * 4, pages = 1 + input_u8(input) % 8;
    unsigned begin_of_log = (unsigned)bench->used.has_log - 1;
    int marks = bench->logging && bench->used.has_log;

    memset(logged, 0, PAGE);
    guest_memory_dirty(bench->memory, page * PAGE + input_u8(input), pages * PAGE - PAGE + 1);
    guest_memory_dirty(bench->memory, an_address(input), 0);
    if (!marks)
        require(logged[0] == 0 && memcmp(logged, logged + 1, PAGE - 1) == 0);
    for (uint64_t one = page; marks && one < page + pages && one / 8 < LOG_BYTES; one++)
        require(logged[begin_of_log + one / 8] & 1 << one % 8);
    for (unsigned i = 0; marks && i < PAGE; i++)
        require(logged[i] == 0 || i - begin_of_log < LOG_BYTES);
}

/* ---- somebody who keeps a pointer ---- */

struct keeper {
    struct memory_watcher watcher;
    struct guest_memory *memory;
    uint64_t guest_address;
    uint8_t *bytes;
};

static void look_up_again(void *argument) {
    static volatile uint8_t sink;
    struct keeper *keeper = argument;

    /* The old place is still mapped. */
    if (keeper->bytes != NULL)
        sink = *keeper->bytes;
    keeper->bytes = guest_memory_at(keeper->memory, keeper->guest_address, 1);
    if (keeper->bytes != NULL)
        sink = *keeper->bytes;
}

/* ---- a run ---- */

static void (*const DEEDS[])(struct bench *bench, struct input *input) = {
    add_some, add_some, add_many,    remove_one, remove_one, clear,     set_log, use,
    use,      give_up,  set_logging, find,       find,       from_user, dirty,   find,
};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static struct bench bench;
    struct input input = {.bytes = bytes, .left = size};
    struct keeper keeper = {.watcher = {.changed = look_up_again, .argument = &keeper}};

    if (logged == NULL)
        make_files();
    memset(&bench, 0, sizeof(bench));
    bench.memory = keeper.memory = guest_memory_new();
    require(bench.memory != NULL);
    keeper.guest_address = an_address(&input);
    guest_memory_watch(bench.memory, &keeper.watcher);
    begin(&bench);
    for (int step = 0; step < STEPS && input.left > 0; step++)
        DEEDS[input_u8(&input) % (sizeof(DEEDS) / sizeof(DEEDS[0]))](&bench, &input);
    guest_memory_unwatch(bench.memory, &keeper.watcher);
    memory_table_free(bench.building);
    guest_memory_free(bench.memory);
    return 0;
}
