# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The program as its users and their management programs run it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vgpud import __version__
from vgpud.config.options import OPTIONS

SPELLINGS = [spelling for option in OPTIONS for spelling in (*option.flags, *option.presets)]
# What a user of vhost-device-gpu types, and what management programs add by the conventions of vhost-user.
PEER_FLAGS = {
    *("-s", "--socket-path", "-g", "--gpu-mode", "-c", "--capset", "--headless", "--gpu-device"),
    *(
        "--use-egl",
        "--use-glx",
        "--use-gles",
        "--use-surfaceless",
        "-h",
        "--help",
        "-V",
        "--version",
    ),
    *("--fd", "--print-capabilities", "--render-node", "--virgl"),
}


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """An environment in which nothing is configured."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "PYTHONPATH") if name in os.environ}
    return {**kept, "HOME": str(tmp_path), "VGPUD_CONFIG": str(tmp_path / "vgpud.toml")}


@pytest.fixture
def file(home: dict[str, str]) -> Path:
    path = Path(home["VGPUD_CONFIG"])
    path.write_text("")
    return path


def vgpud(
    *arguments: str, environment: dict[str, str], code: str | None = None
) -> subprocess.CompletedProcess[str]:
    program = ["-c", code] if code else ["-m", "vgpud"]
    return subprocess.run(
        [sys.executable, *program, *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env=environment,
        cwd=environment["HOME"],
    )


def imported(*arguments: str, environment: dict[str, str]) -> set[str]:
    """The names of all modules that a run of the program has imported."""
    code = (
        "import atexit, sys\n"
        "from vgpud.__main__ import main\n"
        "atexit.register(lambda: sys.stderr.write('\\n' + ' '.join(sys.modules)))\n"
        "main()\n"
    )
    result = vgpud(*arguments, environment=environment, code=code)
    assert result.returncode == 0, result.stderr
    modules = set(result.stderr.split())
    assert "sys" in modules
    return modules


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [
        (["--print-capabilities"], {"trio", "loguru", "cattrs", "attrs", "argparse", "cffi"}),
        (["--help"], {"trio", "loguru", "cattrs", "tomllib", "tomli_w", "cffi"}),
        (["--version"], {"trio", "loguru", "cattrs", "tomllib", "tomli_w", "cffi"}),
        (["--check-config"], {"trio", "loguru", "tomli_w", "cffi"}),
        (["--print-config"], {"trio", "loguru", "cffi"}),
    ],
)
def test_what_needs_no_event_loop_imports_none(
    arguments: list[str], heavy: set[str], home: dict[str, str], file: Path
) -> None:
    assert imported(*arguments, environment=home) & heavy == set()


def test_it_listens_before_what_takes_long_is_imported(
    home: dict[str, str], file: Path, tmp_path: Path
) -> None:
    """Whoever starts it may connect meanwhile."""
    code = (
        "import os, socket, sys\n"
        "def listen(*arguments):\n"
        "    print(*sys.modules, file=sys.stderr, flush=True)\n"
        "    os._exit(0)\n"
        "socket.socket.listen = listen\n"
        "from vgpud.__main__ import main\n"
        "main()\n"
    )
    result = vgpud("--socket-path", str(tmp_path / "socket"), environment=home, code=code)
    imported = set(result.stderr.split())
    assert "vgpud.daemon" in imported
    assert imported & {"trio", "loguru", "vgpud.tree.messages", "vgpud.link.messages"} == set()


def test_without_a_file_cattrs_is_not_imported(home: dict[str, str]) -> None:
    del home["VGPUD_CONFIG"]
    home["XDG_CONFIG_HOME"] = home["HOME"]
    if os.geteuid() == 0 and Path("/etc/vgpud/vgpud.toml").exists():
        pytest.skip("this machine has a configuration")
    assert "cattrs" not in imported("--check-config", environment=home)


def test_capabilities_are_json_and_nothing_else(home: dict[str, str]) -> None:
    result = vgpud("--print-capabilities", environment=home)
    assert (result.returncode, result.stderr) == (0, "")
    described = json.loads(result.stdout)
    assert described["type"] == "gpu"
    assert set(described["features"]) <= {"virgl", "render-node"}
    # Named when it starts, and only then; otherwise there is a reason.
    virgl = described["renderers"]["virglrenderer"]
    assert (
        ("virgl" in described["features"]) == ("library" in virgl) == ("unavailable" not in virgl)
    )


def test_capabilities_are_printed_whatever_else_is_given(home: dict[str, str], file: Path) -> None:
    file.write_text("no toml")
    arguments = ["--fd=x", "--unknown", "--gpu-mode", "gfxstream", "--print-capabilities", "extra"]
    result = vgpud(*arguments, environment=home)
    assert result.returncode == 0
    assert json.loads(result.stdout)["type"] == "gpu"


@pytest.mark.parametrize("flag", ["-V", "--version"])
def test_the_version_is_the_package_s(flag: str, home: dict[str, str]) -> None:
    result = vgpud(flag, environment=home)
    assert (result.returncode, result.stdout) == (0, f"vgpud {__version__}\n")


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_has_every_flag(flag: str, home: dict[str, str]) -> None:
    result = vgpud(flag, environment=home)
    assert result.returncode == 0
    words = set(result.stdout.replace(",", " ").replace("[", " ").split())
    assert {*SPELLINGS, *PEER_FLAGS} <= words


def test_a_renderer_whose_library_cannot_be_loaded_is_unavailable(
    home: dict[str, str], file: Path, tmp_path: Path
) -> None:
    (tmp_path / "librutabaga_gfx_ffi.so.0").write_text("not a library")
    home["LD_LIBRARY_PATH"] = str(tmp_path)
    result = vgpud("--gpu-mode", "gfxstream", "--socket-path", "x", environment=home)
    assert result.returncode == 69
    assert len(result.stderr.splitlines()) == 1
    assert "librutabaga_gfx_ffi.so.0" in result.stderr
    assert not Path(home["HOME"], "x").exists()


def test_every_mistake_is_one_line_and_the_status_is_78(home: dict[str, str], file: Path) -> None:
    file.write_text("[log]\nlevel = 'x'\nlevl = 'x'")
    arguments = ["--fd", "x", "--use-egl=maybe", "-g", "3d", "--nonsense"]
    result = vgpud(*arguments, environment={**home, "VGPUD_USE_GLX": "x"})
    assert result.returncode == 78
    assert result.stdout == ""
    assert [line.split(": ")[:2] for line in result.stderr.splitlines()] == [
        ["vgpud", "--nonsense"],
        ["vgpud", "--fd"],
        ["vgpud", "--use-egl"],
        ["vgpud", "-g"],
        ["vgpud", "VGPUD_USE_GLX"],
        ["vgpud", str(file)],
        ["vgpud", str(file)],
    ]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--socket-path"], "expected one argument"),
        (["-s", "x", "--socket-pth", "x"], 'did you mean "--socket-path"?'),
        (["--socket", "x"], "unknown argument"),
        (["--virgl=x"], "ignored explicit argument"),
        (["--config", "/nonexistent/x.toml", "-s", "x"], "No such file"),
        (["--instance", "a/b", "-s", "x"], "cannot be the name of an instance"),
        (["-s", "x", "--fd", "3"], "only one of"),
    ],
)
def test_a_wrong_command_line_is_a_configuration_mistake(
    arguments: list[str], why: str, home: dict[str, str], file: Path
) -> None:
    result = vgpud(*arguments, environment=home)
    assert result.returncode == 78
    assert why in result.stderr


@pytest.mark.parametrize("value", ["--use-egl=false", "--use-egl false"])
def test_a_switch_takes_its_value_with_or_without_an_equals_sign(
    value: str, home: dict[str, str], file: Path
) -> None:
    result = vgpud(*value.split(), "--use-glx", "--print-config", environment=home)
    assert "egl = false  # flag --use-egl" in result.stdout
    assert "glx = true  # flag --use-glx" in result.stdout


def test_check_config_names_the_files_that_are_valid(home: dict[str, str], file: Path) -> None:
    instance = file.with_name("machine.toml")
    instance.write_text("[log]\nlevel = 'debug'")
    result = vgpud("--check-config", "--instance", "machine", environment=home)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == f"{instance}: valid\n{file}: valid\n"


def test_what_print_config_prints_is_a_file_that_reads_back(
    home: dict[str, str], file: Path
) -> None:
    flags = ["-g", "null", "--headless", "--socket-mode=600", "--print-config"]
    first = vgpud(*flags, "-s", "/run/x", environment=home)
    file.write_text(first.stdout)
    second = vgpud("--print-config", environment=home)
    assert (first.returncode, second.returncode) == (0, 0)
    values = [
        [line.partition("  #")[0] for line in result.stdout.splitlines()]
        for result in (first, second)
    ]
    assert values[0] == values[1]
    assert 'path = "/run/x"' in values[1]
    assert f"headless = true  # {file}" in second.stdout


def test_a_reader_that_leaves_early_causes_no_traceback(home: dict[str, str], file: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    result = subprocess.run(
        [sys.executable, "-m", "vgpud", "--print-config"],
        stdout=write,
        stderr=subprocess.PIPE,
        env=home,
        timeout=30,
        check=False,
    )
    os.close(write)
    assert b"Traceback" not in result.stderr
