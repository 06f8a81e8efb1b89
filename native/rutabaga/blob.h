/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The library's blobs, and the files that they are mapped from.
 *
 * A cross-domain context keeps pointers into a guest blob's memory, and its thread writes there,
 * until the blob is detached from it.  The library does not tell contexts when the blob or its
 * backing goes.  So we note here which blob is attached where.
 */
#ifndef VGPUD_RUTABAGA_BLOB_H
#define VGPUD_RUTABAGA_BLOB_H

#include "rutabaga/started.h"

/* Operations of struct gpu_operations. */
int rutabaga_blob_create(struct gpu_library *library, const struct host_blob *blob,
                         struct iovec *iov, uint32_t count);
int rutabaga_blob_export(struct gpu_library *library, uint32_t resource_id,
                         struct blob_export *exported);

/* Whether it is one. */
bool rutabaga_blob_is(struct gpu_library *library, uint32_t resource_id);

/* These do nothing for a resource that is not a blob. */
void rutabaga_blob_attached(struct gpu_library *library, uint32_t resource_id, uint32_t ctx_id);
void rutabaga_blob_detached(struct gpu_library *library, uint32_t resource_id, uint32_t ctx_id);
/* Its guest memory has moved, or, if `iov` is NULL, is about to go. */
void rutabaga_blob_moved(struct gpu_library *library, uint32_t resource_id, struct iovec *iov,
                         uint32_t count);
void rutabaga_blob_forget(struct gpu_library *library, uint32_t resource_id);

/* The context is about to go. */
void rutabaga_blobs_leave(struct gpu_library *library, uint32_t ctx_id);
void rutabaga_blobs_forget(struct gpu_library *library);

#endif
