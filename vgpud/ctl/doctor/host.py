# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What checks ask of the computer: its files, its programs, who runs this.  No question takes
long.
"""

import grp
import json
import os
import pwd
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import vgpud

TOOL_SECONDS = 10.0
TEXT_BYTES = 1 << 20
# The program tries the renderer, and again on each render node, with twenty seconds each.
CAPABILITIES_SECONDS = 50.0


class Output(NamedTuple):
    """What a program that has ended left: its exit status and its output."""

    status: int
    text: str


class Host:
    """A computer: ``root`` is where its files begin, ``program`` the QEMU that the user has
    named.
    """

    def __init__(self, program: str | None = None, root: Path = Path("/")) -> None:
        self.root = root
        self.program = program
        self.environment: Mapping[str, str] = os.environ
        self.user = os.geteuid()
        self.machine = os.uname().machine
        self.release = os.uname().release
        # Checks run at the same time, but what takes long is done only once.
        self._once = {name: threading.Lock() for name in ("capabilities", "libraries")}
        self._known: dict[str, Any] = {}

    # --- files

    def path(self, name: str) -> Path:
        return self.root / name.lstrip("/")

    def text(self, name: str) -> str:
        """The text of a file; empty when it cannot be read."""
        with suppress(OSError), self.path(name).open(errors="replace") as file:
            return file.read(TEXT_BYTES)
        return ""

    def names(self, pattern: str) -> list[Path]:
        """The files whose names match a pattern."""
        with suppress(OSError):
            return sorted(self.root.glob(pattern.lstrip("/")))
        return []

    def may(self, name: str, mode: int = os.R_OK | os.W_OK) -> bool:
        """Whether this user may use the file; it is not opened, since a driver may hang at that."""
        return os.access(self.path(name), mode)

    def group_of(self, name: str) -> str:
        """The name of the group that a file belongs to; empty if it has none."""
        with suppress(OSError, KeyError):
            return grp.getgrgid(self.path(name).stat().st_gid).gr_name
        return ""

    def lines_to_use(self, name: str, usual: str) -> list[str]:
        """What gives this user a device file: its group, or the usual one where it is root's."""
        group = self.group_of(name)
        lines = []
        if group in ("", "root"):
            group = usual
            lines = [f"sudo chgrp {group} {name} && sudo chmod g+rw {name}  # until the next start"]
        return [*lines, f"sudo adduser {self.user_name} {group}  # and log in again"]

    # --- programs

    def which(self, name: str) -> str | None:
        return shutil.which(name)

    def run(self, *command: str, seconds: float = TOOL_SECONDS) -> Output | None:
        """Standard output and error together; None when there is no such program, or it does not end."""
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                text=True, errors="replace", timeout=seconds, check=False,
                env={**self.environment, "LC_ALL": "C"},
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired):
            return None
        return Output(done.returncode, done.stdout)

    # --- what several checks want to know

    @cached_property
    def distribution(self) -> set[str]:
        """Its name and those of the distributions that it is like, from os-release(5)."""
        fields = dict(
            line.split("=", 1) for line in self.text("/etc/os-release").splitlines() if "=" in line
        )
        words = f"{fields.get('ID', '')} {fields.get('ID_LIKE', '')}"
        return set(words.replace('"', "").split())

    def install(self, debian: str, file: str) -> str:
        """The line that installs what is missing: by the package's name on Debian, by one of its
        files elsewhere.
        """
        if self.distribution & {"debian", "ubuntu"}:
            return f"sudo apt install {debian}"
        if self.distribution & {"fedora", "rhel", "centos"}:
            return f"sudo dnf install '*/{file}'"
        return f"install the package that has {file}"

    @property
    def libraries(self) -> dict[str, str]:
        """The libraries that the dynamic linker knows: name → file."""
        return self._find("libraries", self._find_libraries)

    def _find(self, name: str, find: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        with self._once[name]:
            if name not in self._known:
                self._known[name] = find()
            found: dict[str, Any] = self._known[name]
            return found

    def _find_libraries(self) -> dict[str, Any]:
        program = self.which("ldconfig") or "/sbin/ldconfig"
        output = self.run(program, "-p")
        found: dict[str, str] = {}
        for line in output.text.splitlines() if output else ():
            name, arrow, file = line.strip().partition(" => ")
            if arrow:
                found.setdefault(name.split(" ")[0], file)
        return found

    @property
    def render_nodes(self) -> list[str]:
        return [f"/dev/dri/{path.name}" for path in self.names("/dev/dri/renderD*")]

    def driver_of(self, node: str) -> str:
        """The kernel's driver of a render node; empty when the kernel does not say."""
        link = self.path(f"/sys/class/drm/{Path(node).name}/device/driver")
        with suppress(OSError):
            return link.readlink().name
        return ""

    @property
    def capabilities(self) -> dict[str, Any]:
        """The output of ``vgpud --print-capabilities``, as libvirt runs it; empty when there is
        none.
        """
        return self._find("capabilities", self._find_capabilities)

    def _find_capabilities(self) -> dict[str, Any]:
        package = str(Path(vgpud.__file__).parent.parent)
        code = "import sys; sys.path.insert(0, sys.argv.pop(1)); from vgpud.__main__ import main; sys.exit(main())"
        command = (sys.executable, "-P", "-c", code, package, "--print-capabilities")
        output = self.run(*command, seconds=CAPABILITIES_SECONDS)
        return capabilities_in(output.text) if output else {}

    @property
    def renderer(self) -> str:
        """What would draw OpenGL; empty if nothing would."""
        return drawn_by(self.capabilities)

    def users(self, *names: str) -> Iterator[str]:
        """The users of these names that exist."""
        for name in names:
            with suppress(KeyError):
                yield pwd.getpwnam(name).pw_name

    def groups(self, user: str) -> set[str]:
        """The names of all groups that a user is in."""
        with suppress(KeyError):
            primary = pwd.getpwnam(user).pw_gid
            return {one.gr_name for one in grp.getgrall() if user in one.gr_mem} | {
                one.gr_name for one in grp.getgrall() if one.gr_gid == primary
            }
        return set()

    @property
    def user_name(self) -> str:
        with suppress(KeyError):
            return pwd.getpwuid(self.user).pw_name
        return str(self.user)


def capabilities_in(text: str) -> dict[str, Any]:
    """The line of JSON in a program's output; empty when there is none."""
    for line in text.splitlines():
        with suppress(ValueError):
            found = json.loads(line)
            if isinstance(found, dict):
                return found
    return {}


def drawn_by(capabilities: dict[str, Any]) -> str:
    """What draws OpenGL; empty when nothing does."""
    return str(capabilities.get("renderers", {}).get("virglrenderer", {}).get("library", ""))
