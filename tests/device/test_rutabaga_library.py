# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Releases of librutabaga_gfx_ffi, and its ways to fail, played by a library of our own that draws nothing."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vgpud.cli import renderer_check
from vgpud.cli.renderer_check import probe
from vgpud.device.renderers import rutabaga_library
from vgpud.errors import RendererError
from vgpud.link.messages import RendererOptions
from vgpud.modes import CAPSETS

HEADER = Path(__file__).parents[2] / "native" / "rutabaga" / "api.h"
GFXSTREAM = ("gfxstream-vulkan", "gfxstream-gles", "gfxstream-composer")

# Offers what it was asked for but for the sets in LACKING, and says on its standard error what it was told.
BODIES = """
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>
static uint64_t mask;
struct builder { uint64_t user_data, mask, wsi; void *fence, *debug; uint64_t channels; const char *features; };
int32_t rutabaga_init(const struct builder *builder, void **started) {
    mask = builder->mask & ~(uint64_t)(LACKING);
    *started = &mask;
    dprintf(3, "{\\"mask\\": %llu, \\"wsi\\": %llu, \\"features\\": \\"%s\\", \\"platform\\": \\"%s\\", \\"disabled\\": \\"%s\\"}",
            (unsigned long long)builder->mask, (unsigned long long)builder->wsi,
            builder->features ? builder->features : "", getenv("EGL_PLATFORM") ? getenv("EGL_PLATFORM") : "",
            getenv("VK_LOADER_DRIVERS_DISABLE") ? getenv("VK_LOADER_DRIVERS_DISABLE") : "");
    START
    return 0;
}
int32_t rutabaga_get_num_capsets(void *started, uint32_t *count) {
    *count = (uint32_t)__builtin_popcountll(mask);
    return 0;
}
int32_t rutabaga_get_capset_info(void *started, uint32_t index, uint32_t *id, uint32_t *version, uint32_t *size) {
    for (*id = 0; *id < 64; ++*id)
        if ((mask >> *id & 1) && index-- == 0)
            break;
    *version = 0;
    *size = 16;
    return 0;
}
int32_t rutabaga_resource_create_3d(void *started, uint32_t resource, const void *created) {
    return TAKES == 0 || mmap(NULL, TAKES, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, -1, 0) != MAP_FAILED ? 0 : -12;
}
/* Each of its bytes is the number of the read that it came with. */
struct transfer { uint32_t x, y, z, w, h, d, level, stride; };
int32_t rutabaga_resource_transfer_read(void *started, uint32_t context, uint32_t resource,
                                        const struct transfer *transfer, const struct iovec *to) {
    static int reads;
    reads++;
    for (uint32_t y = transfer->y; y < transfer->y + transfer->h; y++)
        memset((char *)to->iov_base + y * transfer->stride + transfer->x * 4, reads, transfer->w * 4);
    return 0;
}
"""


def functions() -> list[str]:
    """Every function that each release has."""
    names = re.findall(r"RUTABAGA_FUNCTION\(\s*(\w+),", HEADER.read_text().partition("#define")[2])
    return [f"rutabaga_{name}" for name in names if name != "name"]


def build(
    folder: Path,
    *,
    without: str = "",
    lacking: int = 0,
    start: str = "",
    later: bool = True,
    takes: int = 0,
) -> Path:
    """A folder with such a library.  ``later``: of a release after 0.1.3; ``start`` is C; each of its resources ``takes`` as many bytes."""
    plain = [name for name in functions() if name != without and f"{name}(" not in BODIES]
    names = [*plain, *(["rutabaga_resource_import"] if later else [])]
    text = BODIES.replace("LACKING", str(lacking)).replace("START", start)
    text = text.replace("TAKES", str(takes))
    text += "".join(f"int32_t {name}(void) {{ return 0; }}\n" for name in names)
    source = folder / "library.c"
    source.write_text(text)
    library = folder / "librutabaga_gfx_ffi.so.0"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    return folder


def told(folder: Path, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the probe found, and what the library was told."""
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "vgpud.device.renderers.probe"]
    environment = {
        "LD_LIBRARY_PATH": str(folder),
        "PYTHONPATH": ":".join(filter(None, sys.path)),
        "EGL_PLATFORM": "x11",
    }
    done = subprocess.run(
        [*command, json.dumps({"mode": "gfxstream", **options})],
        env=environment, stdout=subprocess.PIPE, timeout=20, check=False,
        pass_fds=(), preexec_fn=lambda: os.dup2(writing, 3), close_fds=False,
    )  # fmt: skip
    os.close(writing)
    with os.fdopen(reading) as said:
        text = said.read()
    return json.loads(done.stdout), json.loads(text) if text else {}


def refusal(folder: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> str:
    monkeypatch.setenv("LD_LIBRARY_PATH", str(folder))
    with pytest.raises(RendererError) as refused:
        probe({"mode": "gfxstream", **options})
    assert "\n" not in str(refused.value)
    assert refused.value.exit_code == 69
    return str(refused.value)


def bits(*names: str) -> int:
    return sum(1 << CAPSETS[name].capset_id for name in names)


def test_it_is_asked_for_what_was_chosen_and_no_more(tmp_path: Path) -> None:
    assert len(functions()) > 15
    build(tmp_path)
    found, said = told(tmp_path, capsets=["gfxstream-vulkan", "cross-domain"])
    assert found["capsets"] == [3, 5]
    assert said["mask"] == bits("gfxstream-vulkan", "cross-domain")
    assert said["wsi"] == 1


def test_without_a_choice_it_is_gfxstream_and_never_the_host_s_wayland(tmp_path: Path) -> None:
    build(tmp_path)
    assert told(tmp_path)[1]["mask"] == bits(*GFXSTREAM)
    assert told(tmp_path, gles=False)[1]["mask"] == bits("gfxstream-vulkan", "gfxstream-composer")


def test_memory_of_the_hosts_is_made_as_files_where_the_release_knows_how(tmp_path: Path) -> None:
    build(tmp_path)
    assert told(tmp_path)[1]["features"] == rutabaga_library.FEATURES
    assert told(tmp_path, capsets=["cross-domain"])[1]["features"] == ""
    build(tmp_path, later=False)
    assert told(tmp_path)[1]["features"] == ""


WARNINGS = """
import json, sys
from vgpud.device.renderers.rutabaga_library import RutabagaLibrary
from vgpud.link.messages import RendererOptions
print(json.dumps(RutabagaLibrary(RendererOptions("gfxstream", capsets=tuple(sys.argv[1:]))).warnings))
"""


@pytest.mark.parametrize(
    ("later", "capsets", "warned"),
    [(True, ("gfxstream-vulkan",), False), (False, ("gfxstream-vulkan",), True), (False, ("cross-domain",), False)],
)  # fmt: skip
def test_a_release_that_hides_its_memory_is_told_of(
    tmp_path: Path, later: bool, capsets: tuple[str, ...], warned: bool
) -> None:
    build(tmp_path, later=later)
    done = subprocess.run(
        [sys.executable, "-c", WARNINGS, *capsets],
        env={"LD_LIBRARY_PATH": str(tmp_path), "PYTHONPATH": ":".join(filter(None, sys.path))},
        stdout=subprocess.PIPE, timeout=20, check=True, preexec_fn=lambda: os.dup2(2, 3), close_fds=False,
    )  # fmt: skip
    assert ("no memory that a guest could map" in done.stdout.decode()) == warned


def test_it_is_told_to_do_without_a_window_system(tmp_path: Path) -> None:
    build(tmp_path)
    said = told(tmp_path)[1]
    assert said["platform"] == "surfaceless"
    # Mesa's driver for guests.
    assert "gfxstream_vk_icd*" in said["disabled"]


def test_a_missing_library_is_named_with_where_it_is_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reason = refusal(tmp_path, monkeypatch)
    assert "librutabaga_gfx_ffi.so.0" in reason
    assert "Fedora" in reason


def test_a_library_that_lacks_a_function_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tmp_path, without="rutabaga_create_fence")
    assert "has no rutabaga_create_fence" in refusal(tmp_path, monkeypatch)


def test_a_library_without_gfxstream_says_no(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tmp_path, start="if (builder->mask & ~32) return -22;")
    reason = refusal(tmp_path, monkeypatch)
    assert "-22" in reason
    assert "--capset cross-domain" in reason
    assert told(tmp_path, capsets=["cross-domain"])[0]["capsets"] == [5]


@pytest.mark.parametrize("name", GFXSTREAM)
def test_a_library_that_draws_in_2d_in_silence_is_found_out(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tmp_path, lacking=bits(name))
    assert f"does not offer the capability set {name}" in refusal(tmp_path, monkeypatch)


def test_a_library_that_ends_its_process_costs_nobody_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tmp_path, start="abort();")
    assert "gfxstream crashed (SIGABRT)" in refusal(tmp_path, monkeypatch)


def test_a_library_that_hangs_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tmp_path, start="for (;;) pause();")
    monkeypatch.setattr(renderer_check, "SECONDS", 1)
    assert "did not start within 1 s" in refusal(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"glx": True}, "--use-glx"),
        ({"egl": False}, "--use-egl=false"),
        ({"surfaceless": False}, "--use-surfaceless=false"),
        ({"gpu_device": "/dev/dri/renderD128"}, "/dev/dri/renderD128"),
        ({"transport": "dmabuf"}, "DMA buffers"),
    ],
)
def test_what_it_cannot_be_told_is_said(options: dict[str, Any], word: str) -> None:
    [line] = rutabaga_library.not_taken(RendererOptions("gfxstream", **options), GFXSTREAM)
    assert word in line


def test_with_the_usual_flags_there_is_nothing_to_say() -> None:
    assert rutabaga_library.not_taken(RendererOptions("gfxstream"), GFXSTREAM) == ()
