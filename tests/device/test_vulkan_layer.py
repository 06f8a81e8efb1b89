# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What gfxstream gets to see of Vulkan drivers, by the real loader and a driver of our own."""

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

LOADER = "libvulkan.so.1"
DRIVER = Path(__file__).parents[1] / "stand_in" / "vulkan_driver.c"
HIDDEN, HOST, FILES = (
    f"VK_{name}"
    for name in (
        "EXT_external_memory_dma_buf",
        "EXT_external_memory_host",
        "KHR_external_memory_fd",
    )
)
CPU, DISCRETE = "4", "2"

# The extensions of each device by its type, of two instances and with a device of each, as JSON.
PROGRAM = """
import ctypes, json, os, sys
from vgpud.device.renderers import rutabaga_library

if sys.argv[1] == "prepared":
    rutabaga_library._prepare(os.environ)
# Python's own environment is not the C library's.
vulkan = ctypes.CDLL("libvulkan.so.1")

class Info(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int32), ("rest", ctypes.c_uint8 * 124)]

class Extension(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char * 256), ("version", ctypes.c_uint32)]

def extensions(device):
    count = ctypes.c_uint32()
    assert vulkan.vkEnumerateDeviceExtensionProperties(device, None, ctypes.byref(count), None) == 0
    found = (Extension * count.value)()
    assert vulkan.vkEnumerateDeviceExtensionProperties(device, None, ctypes.byref(count), found) == 0
    names = [one.name.decode() for one in found]
    few = (Extension * 1)()
    count.value = 1
    assert vulkan.vkEnumerateDeviceExtensionProperties(device, None, ctypes.byref(count), few) == 5
    assert (count.value, few[0].name.decode()) == (1, names[0])
    return names

def look(instance):
    count = ctypes.c_uint32(8)
    devices = (ctypes.c_void_p * 8)()
    assert vulkan.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), devices) == 0
    found = {}
    for device in map(ctypes.c_void_p, devices[:count.value]):
        properties = (ctypes.c_uint32 * 512)()
        vulkan.vkGetPhysicalDeviceProperties(device, properties)
        found[properties[4]] = extensions(device)
        made = ctypes.c_void_p()
        assert vulkan.vkCreateDevice(device, ctypes.byref(Info(3)), None, ctypes.byref(made)) == 0
        vulkan.vkDestroyDevice(made, None)
    return found

instances = [ctypes.c_void_p() for _ in range(2)]
for instance in instances:
    assert vulkan.vkCreateInstance(ctypes.byref(Info(1)), None, ctypes.byref(instance)) == 0
found = [look(instance) for instance in instances]
vulkan.vkDestroyInstance(instances[0], None)
found.append(look(instances[1]))
vulkan.vkDestroyInstance(instances[1], None)
assert found[0] == found[1] == found[2]
print(json.dumps(found[0]))
"""


def has_loader() -> bool:
    try:
        ctypes.CDLL(LOADER)
    except OSError:
        return False
    return True


pytestmark = pytest.mark.skipif(not has_loader(), reason=f"{LOADER} is not installed (libvulkan1)")


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the loader is told of it."""
    folder = tmp_path_factory.mktemp("driver")
    library, manifest = folder / "driver.so", folder / "driver.json"
    strict = ("-Wall", "-Wextra", "-Werror")
    subprocess.run(["cc", "-shared", "-fPIC", *strict, "-o", library, DRIVER], check=True)
    manifest.write_text(
        json.dumps(
            {
                "file_format_version": "1.0.0",
                "ICD": {"library_path": str(library), "api_version": "1.3.0"},
            }
        )
    )
    return manifest


def look(driver: Path, how: str, **environment: str) -> dict[str, list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how],
        env=os.environ
        | {"VK_DRIVER_FILES": str(driver), "PYTHONPATH": ":".join(filter(None, sys.path))}
        | environment,
        stdout=subprocess.PIPE,
        timeout=30,
        check=True,
    )
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


def test_drivers_say_what_they_like_without_it(driver: Path) -> None:
    assert look(driver, "plain") == {one: [FILES, HIDDEN, HOST] for one in (CPU, DISCRETE)}


@pytest.mark.parametrize("variable", ["VK_LAYER_PATH", "VK_ADD_LAYER_PATH", "VK_INSTANCE_LAYERS"])
def test_dma_buffers_are_hidden_where_the_processor_draws(
    driver: Path, variable: str, tmp_path: Path
) -> None:
    """Whatever layers a user has."""
    found = look(driver, "prepared", **{variable: str(tmp_path)})
    assert found == {CPU: [FILES, HOST], DISCRETE: [FILES, HIDDEN, HOST]}
