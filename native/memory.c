/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dirty_log.h"

enum { REGIONS_MAX = 509 }; /* as QEMU's own backends: KVM's limit for a machine */

struct region {
    uint64_t guest_address, size, user_address;
    uint8_t *bytes;
    void *mapped;
    size_t mapped_size;
};

struct guest_memory {
    struct region regions[REGIONS_MAX]; /* by guest address */
    uint32_t count;
    uint32_t last; /* where the last look-up ended */
    bool logging;
    struct dirty_log log;
};

struct guest_memory *guest_memory_new(void) {
    return calloc(1, sizeof(struct guest_memory));
}

void guest_memory_free(struct guest_memory *memory) {
    if (memory == NULL)
        return;
    guest_memory_clear(memory);
    dirty_log_close(&memory->log);
    free(memory);
}

/* Index of the first region that ends beyond the address, `count` when there is none. */
static uint32_t first_after(const struct guest_memory *memory, uint64_t guest_address) {
    uint32_t low = 0, high = memory->count;

    while (low < high) {
        uint32_t middle = (low + high) / 2;
        const struct region *region = &memory->regions[middle];
        if (region->guest_address + (region->size - 1) < guest_address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool region_holds(const struct region *region, uint64_t guest_address) {
    return guest_address - region->guest_address < region->size;
}

/* The page size that mmap() wants at this file: larger than usual on hugetlbfs. */
static uint64_t file_page(const struct stat *file) {
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t block = (uint64_t)file->st_blksize;

    return block > page && (block & (block - 1)) == 0 ? block : page;
}

static int check_file(int fd, uint64_t size, uint64_t mmap_offset, struct stat *file) {
    uint64_t end;

    if (__builtin_add_overflow(mmap_offset, size, &end) || end > INT64_MAX)
        return -EINVAL;
    if (fstat(fd, file) < 0)
        return -errno;
    if (S_ISREG(file->st_mode) && end > (uint64_t)file->st_size)
        return -EINVAL;
    return 0;
}

/* The offset is rounded down, the end up, to what the file's pages allow. */
static int map_region(struct region *region, int fd, uint64_t mmap_offset) {
    struct stat file;
    uint64_t page, before;
    int error = check_file(fd, region->size, mmap_offset, &file);

    if (error < 0)
        return error;
    page = file_page(&file);
    before = mmap_offset & (page - 1);
    region->mapped_size = (before + region->size + page - 1) & ~(page - 1);
    region->mapped = mmap(NULL, region->mapped_size, PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_NORESERVE, fd, (off_t)(mmap_offset - before));
    if (region->mapped == MAP_FAILED)
        return -errno;
    /* A machine's memory is neither ours to dump nor a child's to inherit. */
    madvise(region->mapped, region->mapped_size, MADV_DONTDUMP);
    madvise(region->mapped, region->mapped_size, MADV_DONTFORK);
    region->bytes = (uint8_t *)region->mapped + before;
    return 0;
}

static bool wraps(uint64_t address, uint64_t size) {
    return address + (size - 1) < address;
}

int guest_memory_add(struct guest_memory *memory, int fd, uint64_t guest_address, uint64_t size,
                     uint64_t user_address, uint64_t mmap_offset) {
    struct region region = {
        .guest_address = guest_address, .size = size, .user_address = user_address};
    uint32_t place;
    int error;

    if (size == 0 || wraps(guest_address, size) || wraps(user_address, size))
        return -EINVAL;
    place = first_after(memory, guest_address);
    if (place < memory->count && memory->regions[place].guest_address <= guest_address + (size - 1))
        return -EEXIST;
    if (memory->count == REGIONS_MAX)
        return -ENOSPC;
    error = map_region(&region, fd, mmap_offset);
    if (error < 0)
        return error;
    memmove(&memory->regions[place + 1], &memory->regions[place],
            (memory->count - place) * sizeof(region));
    memory->regions[place] = region;
    memory->count++;
    return 0;
}

int guest_memory_remove(struct guest_memory *memory, uint64_t guest_address, uint64_t size,
                        uint64_t user_address) {
    uint32_t place = first_after(memory, guest_address);
    struct region *region = &memory->regions[place];

    if (place == memory->count || region->guest_address != guest_address || region->size != size ||
        region->user_address != user_address)
        return -ENOENT;
    munmap(region->mapped, region->mapped_size);
    memory->count--;
    memmove(region, region + 1, (memory->count - place) * sizeof(*region));
    return 0;
}

void guest_memory_clear(struct guest_memory *memory) {
    for (uint32_t i = 0; i < memory->count; i++)
        munmap(memory->regions[i].mapped, memory->regions[i].mapped_size);
    memory->count = 0;
}

int guest_memory_set_log(struct guest_memory *memory, int fd, uint64_t size, uint64_t offset) {
    if (fd < 0) {
        dirty_log_close(&memory->log);
        return 0;
    }
    return dirty_log_open(&memory->log, fd, size, offset);
}

void guest_memory_set_logging(struct guest_memory *memory, int enabled) {
    memory->logging = enabled;
}

bool guest_memory_logging(const struct guest_memory *memory) {
    return memory->logging && memory->log.bits != NULL;
}

uint8_t *guest_memory_find(struct guest_memory *memory, uint64_t guest_address, uint64_t *length) {
    const struct region *region;
    uint64_t offset;

    if (memory->last >= memory->count ||
        !region_holds(&memory->regions[memory->last], guest_address))
        memory->last = first_after(memory, guest_address);
    if (memory->last == memory->count)
        return NULL;
    region = &memory->regions[memory->last];
    offset = guest_address - region->guest_address;
    if (offset >= region->size)
        return NULL;
    if (*length > region->size - offset)
        *length = region->size - offset;
    return region->bytes + offset;
}

uint8_t *guest_memory_at(struct guest_memory *memory, uint64_t guest_address, uint64_t length) {
    uint64_t there = length;
    uint8_t *bytes = guest_memory_find(memory, guest_address, &there);

    return there == length ? bytes : NULL;
}

bool guest_memory_from_user(struct guest_memory *memory, uint64_t user_address, uint64_t length,
                            uint64_t *guest_address) {
    for (uint32_t i = 0; i < memory->count; i++) {
        const struct region *region = &memory->regions[i];
        uint64_t offset = user_address - region->user_address;
        if (offset < region->size && length <= region->size - offset) {
            *guest_address = region->guest_address + offset;
            return true;
        }
    }
    return false;
}

void guest_memory_dirty(struct guest_memory *memory, uint64_t guest_address, uint64_t length) {
    if (guest_memory_logging(memory))
        dirty_log_mark(&memory->log, guest_address, length);
}
