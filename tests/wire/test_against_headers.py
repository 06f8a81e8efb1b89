# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What Python declares is what the kernel's headers declare, as a C compiler sees them."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import cffi
import pytest

from vgpud.wire import formats, layout, virtio_gpu, virtio_ring

MODULES = (virtio_gpu, virtio_ring, formats)
HEADER_SIZE = layout.size_of(virtio_gpu.virtio_gpu_ctrl_hdr)

# These are not commands or responses: no virtio_gpu_ctrl_hdr comes first.
WITHOUT_HEADER = {
    virtio_gpu.virtio_gpu_ctrl_hdr,
    virtio_gpu.virtio_gpu_rect,
    virtio_gpu.virtio_gpu_box,
    virtio_gpu.virtio_gpu_mem_entry,
    virtio_gpu.virtio_gpu_config,
    virtio_gpu.virtio_gpu_display_one,
    virtio_gpu.virtio_gpu_cursor_pos,
    virtio_ring.vring_desc,
    virtio_ring.vring_avail,
    virtio_ring.vring_used_elem,
    virtio_ring.vring_used,
    virtio_ring.vring_packed_desc,
    virtio_ring.vring_packed_desc_event,
}
HEADER = Path("/usr/include/linux/virtio_gpu.h").read_text()
# In a specification later than most headers.
LATER = {(virtio_gpu.virtio_gpu_config, "blob_alignment")}
NOT_IN_HEADER = {(kind, name) for kind, name in LATER if name not in HEADER}
# Of that specification as well, and without a use here.
LATER_NAMES = {"VIRTIO_GPU_F_BLOB_ALIGNMENT"}
# What virtio_gpu.py names beyond the header.
OWN_NAMES = {"CONTROL_QUEUE", "CURSOR_QUEUE", "BYTES_PER_PIXEL"}

STRUCTURES = [
    value
    for module in MODULES
    for value in vars(module).values()
    if isinstance(value, type) and value.__name__.startswith(("virtio_gpu_", "vring_"))
]
CONSTANTS = {
    name: value
    for module in MODULES
    for name, value in vars(module).items()
    if name.isupper() and isinstance(value, int) and name not in OWN_NAMES
}


def _compiled_fields(kind: type[Any]) -> Iterator[str]:
    return (name for name in kind.__annotations__ if (kind, name) not in NOT_IN_HEADER)


@pytest.fixture(scope="module")
def c(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """sizeof, offsetof and value of everything, by its C expression."""
    expressions = list(CONSTANTS)
    for kind in STRUCTURES:
        expressions.append(f"sizeof(struct {kind.__name__})")
        expressions += [
            f"offsetof(struct {kind.__name__}, {name})" for name in _compiled_fields(kind)
        ]
    facts = _compile(expressions, tmp_path_factory.mktemp("headers"))
    return dict(zip(expressions, facts.ffi.unpack(facts.lib.facts, len(expressions)), strict=True))


def _compile(expressions: list[str], folder: Path) -> Any:
    ffi = cffi.FFI()
    ffi.cdef(f"static const long long facts[{len(expressions)}];")
    lines = ",\n".join(f"(long long)({expression})" for expression in expressions)
    ffi.set_source(
        "facts_of_headers",
        "#include <stddef.h>\n#include <linux/virtio_gpu.h>\n#include <linux/virtio_ring.h>\n"
        "#include <linux/virtio_config.h>\n"
        f"static const long long facts[] = {{\n{lines}\n}};",
    )
    return _load(Path(ffi.compile(str(folder))))


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("facts_of_headers", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("kind", STRUCTURES, ids=lambda kind: kind.__name__)
def test_size_and_offsets_are_those_of_c(kind: type[Any], c: dict[str, int]) -> None:
    header = 0 if kind in WITHOUT_HEADER else HEADER_SIZE
    later = sum(4 for structure, _ in NOT_IN_HEADER if structure is kind)
    assert layout.size_of(kind) + header - later == c[f"sizeof(struct {kind.__name__})"]
    offsets = layout.offsets_of(kind)
    for name in _compiled_fields(kind):
        assert offsets[name] + header == c[f"offsetof(struct {kind.__name__}, {name})"], name


def test_constants_are_those_of_c(c: dict[str, int]) -> None:
    assert {name: c[name] for name in CONSTANTS} == CONSTANTS


def test_every_command_response_and_format_of_the_header_is_declared() -> None:
    named = {word.strip("(),;*/:") for word in HEADER.split() if word.startswith("VIRTIO_GPU_")}
    prefixes = ("VIRTIO_GPU_CMD_", "VIRTIO_GPU_RESP_", "VIRTIO_GPU_F_", "VIRTIO_GPU_FORMAT_")
    wanted = {name for name in named if name.startswith(prefixes) and "_*" not in name}
    in_comments = {"VIRTIO_GPU_CMD_CTX_", "VIRTIO_GPU_CMD_CREATE_CONTEXT"}
    assert wanted - CONSTANTS.keys() <= in_comments | LATER_NAMES
