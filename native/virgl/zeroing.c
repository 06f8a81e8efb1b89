/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#define _GNU_SOURCE /* dlinfo */

#include "virgl/zeroing.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if __SIZEOF_POINTER__ == 8
#define SYMBOL_OF(info) ELF64_R_SYM(info)
#else
#define SYMBOL_OF(info) ELF32_R_SYM(info)
#endif

/* Large ones come zeroed from the kernel, which calloc() knows. */
static void *allocate_zeroed(size_t size) {
    return calloc(1, size);
}

/* --- the dynamic section (ELF, the generic ABI: "Dynamic Linking") */

static const ElfW(Dyn) * entry_of(const struct link_map *map, ElfW(Sxword) tag) {
    for (const ElfW(Dyn) *entry = map->l_ld; entry->d_tag != DT_NULL; entry++)
        if (entry->d_tag == tag)
            return entry;
    return NULL;
}

/* The dynamic linker has added the library's base to addresses, except where the section cannot be
 * written. */
static uintptr_t address_of(const struct link_map *map, ElfW(Sxword) tag) {
    const ElfW(Dyn) *entry = entry_of(map, tag);

    if (entry == NULL)
        return 0;
    return entry->d_un.d_ptr < map->l_addr ? map->l_addr + entry->d_un.d_ptr : entry->d_un.d_ptr;
}

static size_t size_of(const struct link_map *map, ElfW(Sxword) tag) {
    const ElfW(Dyn) *entry = entry_of(map, tag);

    return entry != NULL ? entry->d_un.d_val : 0;
}

/* --- what the dynamic linker has made read-only in the end */

struct read_only {
    uintptr_t library, begin, end;
};

static int find_read_only(struct dl_phdr_info *info, size_t size, void *argument) {
    struct read_only *found = argument;

    (void)size;
    if (info->dlpi_addr != found->library)
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        if (header->p_type != PT_GNU_RELRO)
            continue;
        found->begin = info->dlpi_addr + header->p_vaddr;
        found->end = found->begin + header->p_memsz;
    }
    return 1;
}

static bool point_to(uintptr_t slot, void *(*function)(size_t), const struct read_only *read_only) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    void *begin = (void *)(slot & ~(page - 1));

    if (mprotect(begin, page, PROT_READ | PROT_WRITE) < 0)
        return false;
    memcpy((void *)slot, &function, sizeof(function));
    if (slot >= read_only->begin && slot < read_only->end)
        mprotect(begin, page, PROT_READ);
    return true;
}

/* --- the library's pointers to malloc() */

static int replace_in(const struct link_map *map, ElfW(Sxword) table, ElfW(Sxword) bytes) {
    const ElfW(Rela) *relocations = (const void *)address_of(map, table);
    const ElfW(Sym) *symbols = (const void *)address_of(map, DT_SYMTAB);
    const char *names = (const char *)address_of(map, DT_STRTAB);
    size_t count = size_of(map, bytes) / sizeof(*relocations);
    struct read_only read_only = {.library = map->l_addr};
    int replaced = 0;

    dl_iterate_phdr(find_read_only, &read_only);
    if (relocations == NULL || symbols == NULL || names == NULL)
        return 0;
    for (size_t i = 0; i < count; i++) {
        const ElfW(Sym) *symbol = &symbols[SYMBOL_OF(relocations[i].r_info)];
        if (strcmp(names + symbol->st_name, "malloc") != 0)
            continue;
        replaced += point_to(map->l_addr + relocations[i].r_offset, allocate_zeroed, &read_only);
    }
    return replaced;
}

int virgl_zero_allocations(void *library) {
    struct link_map *map;

    if (dlinfo(library, RTLD_DI_LINKMAP, &map) < 0)
        return -ENOSYS;
    if (replace_in(map, DT_JMPREL, DT_PLTRELSZ) + replace_in(map, DT_RELA, DT_RELASZ) == 0)
        return -ENOSYS;
    return 0;
}
