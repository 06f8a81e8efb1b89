# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""VIRTIO 1.2, section 5.7: the GPU device, named as in <linux/virtio_gpu.h>.

A command's or response's structure is what follows its ``virtio_gpu_ctrl_hdr``, which is decoded
separately.  What a command has after its structure (entries, a command stream) is not in it.
"""

from typing import Annotated, NamedTuple

from vgpud.wire.layout import le32, le64, u8

# --- features (5.7.3)

VIRTIO_GPU_F_VIRGL = 0
VIRTIO_GPU_F_EDID = 1
VIRTIO_GPU_F_RESOURCE_UUID = 2
VIRTIO_GPU_F_RESOURCE_BLOB = 3
VIRTIO_GPU_F_CONTEXT_INIT = 4

# --- the queues (5.7.2)

CONTROL_QUEUE = 0
CURSOR_QUEUE = 1

# --- command and response types (5.7.6.7)

VIRTIO_GPU_UNDEFINED = 0

VIRTIO_GPU_CMD_GET_DISPLAY_INFO = 0x0100
VIRTIO_GPU_CMD_RESOURCE_CREATE_2D = 0x0101
VIRTIO_GPU_CMD_RESOURCE_UNREF = 0x0102
VIRTIO_GPU_CMD_SET_SCANOUT = 0x0103
VIRTIO_GPU_CMD_RESOURCE_FLUSH = 0x0104
VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D = 0x0105
VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING = 0x0106
VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING = 0x0107
VIRTIO_GPU_CMD_GET_CAPSET_INFO = 0x0108
VIRTIO_GPU_CMD_GET_CAPSET = 0x0109
VIRTIO_GPU_CMD_GET_EDID = 0x010A
VIRTIO_GPU_CMD_RESOURCE_ASSIGN_UUID = 0x010B
VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB = 0x010C
VIRTIO_GPU_CMD_SET_SCANOUT_BLOB = 0x010D

VIRTIO_GPU_CMD_CTX_CREATE = 0x0200
VIRTIO_GPU_CMD_CTX_DESTROY = 0x0201
VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE = 0x0202
VIRTIO_GPU_CMD_CTX_DETACH_RESOURCE = 0x0203
VIRTIO_GPU_CMD_RESOURCE_CREATE_3D = 0x0204
VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D = 0x0205
VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D = 0x0206
VIRTIO_GPU_CMD_SUBMIT_3D = 0x0207
VIRTIO_GPU_CMD_RESOURCE_MAP_BLOB = 0x0208
VIRTIO_GPU_CMD_RESOURCE_UNMAP_BLOB = 0x0209

VIRTIO_GPU_CMD_UPDATE_CURSOR = 0x0300
VIRTIO_GPU_CMD_MOVE_CURSOR = 0x0301

VIRTIO_GPU_RESP_OK_NODATA = 0x1100
VIRTIO_GPU_RESP_OK_DISPLAY_INFO = 0x1101
VIRTIO_GPU_RESP_OK_CAPSET_INFO = 0x1102
VIRTIO_GPU_RESP_OK_CAPSET = 0x1103
VIRTIO_GPU_RESP_OK_EDID = 0x1104
VIRTIO_GPU_RESP_OK_RESOURCE_UUID = 0x1105
VIRTIO_GPU_RESP_OK_MAP_INFO = 0x1106

VIRTIO_GPU_RESP_ERR_UNSPEC = 0x1200
VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY = 0x1201
VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID = 0x1202
VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID = 0x1203
VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID = 0x1204
VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER = 0x1205

# --- flags and other constants

VIRTIO_GPU_FLAG_FENCE = 1 << 0
VIRTIO_GPU_FLAG_INFO_RING_IDX = 1 << 1
VIRTIO_GPU_EVENT_DISPLAY = 1 << 0
VIRTIO_GPU_RESOURCE_FLAG_Y_0_TOP = 1 << 0
VIRTIO_GPU_CONTEXT_INIT_CAPSET_ID_MASK = 0x000000FF
VIRTIO_GPU_MAX_SCANOUTS = 16
VIRTIO_GPU_SHM_ID_UNDEFINED = 0
VIRTIO_GPU_SHM_ID_HOST_VISIBLE = 1

VIRTIO_GPU_CAPSET_VIRGL = 1
VIRTIO_GPU_CAPSET_VIRGL2 = 2

VIRTIO_GPU_BLOB_MEM_GUEST = 0x0001
VIRTIO_GPU_BLOB_MEM_HOST3D = 0x0002
VIRTIO_GPU_BLOB_MEM_HOST3D_GUEST = 0x0003
VIRTIO_GPU_BLOB_FLAG_USE_MAPPABLE = 0x0001
VIRTIO_GPU_BLOB_FLAG_USE_SHAREABLE = 0x0002
VIRTIO_GPU_BLOB_FLAG_USE_CROSS_DEVICE = 0x0004

VIRTIO_GPU_MAP_CACHE_MASK = 0x0F
VIRTIO_GPU_MAP_CACHE_NONE = 0x00
VIRTIO_GPU_MAP_CACHE_CACHED = 0x01
VIRTIO_GPU_MAP_CACHE_UNCACHED = 0x02
VIRTIO_GPU_MAP_CACHE_WC = 0x03

# --- structures


class virtio_gpu_ctrl_hdr(NamedTuple):
    type: le32
    flags: le32 = 0
    fence_id: le64 = 0
    ctx_id: le32 = 0
    ring_idx: u8 = 0
    padding: Annotated[bytes, "3s"] = bytes(3)


class virtio_gpu_rect(NamedTuple):
    """In pixels."""

    x: le32
    y: le32
    width: le32
    height: le32


class virtio_gpu_box(NamedTuple):
    x: le32
    y: le32
    z: le32
    w: le32
    h: le32
    d: le32


class virtio_gpu_mem_entry(NamedTuple):
    """A piece of guest memory: a guest-physical address, and bytes."""

    addr: le64
    length: le32
    padding: le32 = 0


class virtio_gpu_config(NamedTuple):
    """The configuration space (5.7.4), with ``blob_alignment``, which a later specification added."""

    events_read: le32 = 0
    events_clear: le32 = 0
    num_scanouts: le32 = 0
    num_capsets: le32 = 0
    blob_alignment: le32 = 0


# --- 2D commands and responses (5.7.6.8)


class virtio_gpu_display_one(NamedTuple):
    r: virtio_gpu_rect
    enabled: le32
    flags: le32 = 0


class virtio_gpu_resp_display_info(NamedTuple):
    pmodes: Annotated[tuple[virtio_gpu_display_one, ...], VIRTIO_GPU_MAX_SCANOUTS]


class virtio_gpu_cmd_get_edid(NamedTuple):
    scanout: le32
    padding: le32 = 0


class virtio_gpu_resp_edid(NamedTuple):
    size: le32
    padding: le32
    edid: Annotated[bytes, "1024s"]


class virtio_gpu_resource_create_2d(NamedTuple):
    resource_id: le32
    format: le32
    width: le32
    height: le32


class virtio_gpu_resource_unref(NamedTuple):
    resource_id: le32
    padding: le32 = 0


class virtio_gpu_set_scanout(NamedTuple):
    r: virtio_gpu_rect
    scanout_id: le32
    resource_id: le32


class virtio_gpu_resource_flush(NamedTuple):
    r: virtio_gpu_rect
    resource_id: le32
    padding: le32 = 0


class virtio_gpu_transfer_to_host_2d(NamedTuple):
    r: virtio_gpu_rect
    offset: le64
    resource_id: le32
    padding: le32 = 0


class virtio_gpu_resource_attach_backing(NamedTuple):
    """``nr_entries`` structures virtio_gpu_mem_entry follow."""

    resource_id: le32
    nr_entries: le32


class virtio_gpu_resource_detach_backing(NamedTuple):
    resource_id: le32
    padding: le32 = 0


class virtio_gpu_get_capset_info(NamedTuple):
    capset_index: le32
    padding: le32 = 0


class virtio_gpu_resp_capset_info(NamedTuple):
    capset_id: le32
    capset_max_version: le32
    capset_max_size: le32
    padding: le32 = 0


class virtio_gpu_get_capset(NamedTuple):
    capset_id: le32
    capset_version: le32


class virtio_gpu_resource_assign_uuid(NamedTuple):
    resource_id: le32
    padding: le32 = 0


class virtio_gpu_resp_resource_uuid(NamedTuple):
    uuid: Annotated[bytes, "16s"]


class virtio_gpu_resource_create_blob(NamedTuple):
    """``nr_entries`` structures virtio_gpu_mem_entry follow."""

    resource_id: le32
    blob_mem: le32
    blob_flags: le32
    nr_entries: le32
    blob_id: le64
    size: le64


class virtio_gpu_set_scanout_blob(NamedTuple):
    r: virtio_gpu_rect
    scanout_id: le32
    resource_id: le32
    width: le32
    height: le32
    format: le32
    padding: le32
    strides: Annotated[tuple[int, ...], "4I"]
    offsets: Annotated[tuple[int, ...], "4I"]


# --- 3D commands and responses (5.7.6.9)


class virtio_gpu_ctx_create(NamedTuple):
    nlen: le32
    context_init: le32
    debug_name: Annotated[bytes, "64s"]


class virtio_gpu_ctx_destroy(NamedTuple):
    """The context is the header's ``ctx_id``."""


class virtio_gpu_ctx_resource(NamedTuple):
    resource_id: le32
    padding: le32 = 0


class virtio_gpu_resource_create_3d(NamedTuple):
    resource_id: le32
    target: le32
    format: le32
    bind: le32
    width: le32
    height: le32
    depth: le32
    array_size: le32
    last_level: le32
    nr_samples: le32
    flags: le32
    padding: le32 = 0


class virtio_gpu_transfer_host_3d(NamedTuple):
    box: virtio_gpu_box
    offset: le64
    resource_id: le32
    level: le32
    stride: le32
    layer_stride: le32


class virtio_gpu_cmd_submit(NamedTuple):
    """``size`` bytes of command stream follow."""

    size: le32
    padding: le32 = 0


class virtio_gpu_resource_map_blob(NamedTuple):
    resource_id: le32
    padding: le32
    offset: le64


class virtio_gpu_resp_map_info(NamedTuple):
    map_info: le32
    padding: le32 = 0


class virtio_gpu_resource_unmap_blob(NamedTuple):
    resource_id: le32
    padding: le32 = 0


# --- cursor commands (5.7.6.10)


class virtio_gpu_cursor_pos(NamedTuple):
    scanout_id: le32
    x: le32
    y: le32
    padding: le32 = 0


class virtio_gpu_update_cursor(NamedTuple):
    """Of UPDATE_CURSOR and MOVE_CURSOR; the latter uses only ``pos``."""

    pos: virtio_gpu_cursor_pos
    resource_id: le32
    hot_x: le32
    hot_y: le32
    padding: le32 = 0
