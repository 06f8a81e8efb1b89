# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The files by which libvirt and systemd find vgpud, made from the package's own so that they name the programs where
they are: below a virtual environment, say, or in somebody's home.
"""

import json
import os
import re
import stat
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path

from attrs import frozen

import vgpud
from vgpud.control.protocol import ControlError

PACKAGED = "/usr/bin/vgpud"
"""The program that the package's own files name: where a distribution's package has it."""
PACKAGE = Path(vgpud.__file__).parent
TEMPLATES = (PACKAGE / "units", PACKAGE.parent / "contrib/systemd")
DESCRIPTORS = (PACKAGE / "units", PACKAGE.parent / "config")
DESCRIPTOR = "60-vgpud-gpu.json"
# Sorted before QEMU's own, 50-qemu-gpu.json: libvirt takes the first that can do what a machine
# asks for.
DESCRIPTOR_PLACE = "qemu/vhost-user/10-vgpud-gpu.json"
SYSTEM_UNITS = {
    "vgpud.service": "systemd/system/vgpud.service",
    "vgpud@.service": "systemd/system/vgpud@.service",
    "vgpud@.socket": "systemd/system/vgpud@.socket",
    "sysusers.conf": "sysusers.d/vgpud.conf",
    "tmpfiles.conf": "tmpfiles.d/vgpud.conf",
}
USER_UNITS = {"user/vgpud.service": "systemd/user/vgpud.service"}
PACKAGED_UNITS = ("usr/lib/systemd/system/vgpud.service", "lib/systemd/system/vgpud.service")
APPARMOR = "etc/apparmor.d/abstractions/libvirt-qemu"
ROOTS_HOME = "/root"
# With newer releases of systemd the empty folder in its place has its mode, which is 0700.
PASSABLE = f"TemporaryFileSystem={ROOTS_HOME}:ro,mode=0755\n"
# What ProtectHome= and PrivateTmp= of the units hide.
HOMES = ("/home", ROOTS_HOME, "/run/user")
HIDDEN = (*HOMES, "/tmp", "/var/tmp")  # noqa: S108  nothing is written there


@frozen
class Place:
    """A host, or a test's folder in its place; ``user`` is whom it is set up for, 0 for all."""

    program: Path
    user: int
    environment: Mapping[str, str]
    root: Path = Path("/")

    def configuration(self) -> Path:
        """The folder that files go into."""
        if self.user == 0:
            return self.root / "etc"
        return self._own("XDG_CONFIG_HOME", ".config")

    def record(self) -> Path:
        """The file that notes what was written."""
        if self.user == 0:
            return self.root / "var/lib/vgpud/setup.json"
        return self._own("XDG_STATE_HOME", ".local/state") / "vgpud/setup.json"

    def _own(self, variable: str, usual: str) -> Path:
        own = Path(self.environment.get(variable, ""))
        return own if own.is_absolute() else Path(self.environment.get("HOME", "/")) / usual


def find_program() -> Path:
    """The ``vgpud`` that belongs to this ``vgpuctl``; ``ControlError`` when it has none."""
    own = Path(sys.argv[0]).absolute()
    folders = (own.parent, own.resolve().parent, Path(sysconfig.get_path("scripts")))
    for folder in folders:
        if os.access(folder / "vgpud", os.X_OK) and (folder / "vgpud").is_file():
            return folder / "vgpud"
    raise ControlError(
        f"there is no program vgpud in {' or '.join(map(str, dict.fromkeys(folders)))}"
    )


def wanted_files(place: Place) -> dict[Path, str]:
    """The files to write: path → text."""
    folder = place.configuration()
    files = {folder / DESCRIPTOR_PLACE: _descriptor(place.program)}
    for name, where in _units(place).items():
        files[folder / where] = _named(_template(TEMPLATES, name), place.program)
    return files


def _units(place: Place) -> dict[str, str]:
    if place.user != 0:
        return USER_UNITS
    packaged = str(place.program) == PACKAGED and any(
        (place.root / unit).exists() for unit in PACKAGED_UNITS
    )
    return {} if packaged else SYSTEM_UNITS


def _template(folders: tuple[Path, ...], name: str) -> str:
    for folder in folders:
        if (folder / name).is_file():
            return (folder / name).read_text()
    raise ControlError(f"this installation has no {name}")


def _descriptor(program: Path) -> str:
    fields = json.loads(_template(DESCRIPTORS, DESCRIPTOR))
    return json.dumps(fields | {"binary": str(program)}, indent=2) + "\n"


def _named(unit: str, program: Path) -> str:
    """The unit with the program's path, and with the folders made visible that the program
    needs.
    """
    words = _unit_word(str(program))
    text = re.sub(
        rf"^(ExecStart=){re.escape(PACKAGED)}\b",
        lambda found: found[1] + words,
        unit,
        flags=re.MULTILINE,
    )
    needed = [path for path in _needed(program) if _is_below(path, HIDDEN)]
    if not needed or "ProtectHome=yes" not in text:
        return text
    shown = "".join(f"BindReadOnlyPaths={_unit_word(str(path))}\n" for path in needed)
    if any(_is_below(path, (ROOTS_HOME,)) for path in needed):
        shown = f"{PASSABLE}{shown}"
    return text.replace("ProtectHome=yes\n", f"ProtectHome=tmpfs\n{shown}")


def _needed(program: Path) -> list[Path]:
    """The folders of the program, its interpreter and its libraries, none of them within
    another.
    """
    folders = {
        program.parent,
        program.resolve().parent,
        PACKAGE.parent,
        Path(sys.executable).parent,
    }
    folders |= {Path(sys.prefix), Path(sys.base_prefix)}
    return sorted(one for one in folders if not any(other in one.parents for other in folders))


def _is_below(path: Path, folders: tuple[str, ...]) -> bool:
    return any(Path(folder) in path.parents for folder in folders)


def _unit_word(text: str) -> str:
    """A word in a unit's syntax, systemd.syntax(7): quoted where needed, with no specifier in
    it.
    """
    text = text.replace("%", "%%")
    if not re.search(r"[\s\"'\\$;]", text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$") + '"'


# --- what to say besides


def next_lines(place: Place) -> list[str]:
    """The lines to run afterwards."""
    if place.user != 0:
        return ["systemctl --user daemon-reload", "systemctl --user enable --now vgpud.service"]
    if not _units(place):
        return ["systemctl enable --now vgpud.service"]
    return [
        "systemd-sysusers vgpud.conf",
        "systemd-tmpfiles --create vgpud.conf",
        "systemctl daemon-reload",
        "systemctl enable --now vgpud.service",
    ]


def obstacles(place: Place) -> Iterator[str]:
    """Why others cannot start the program although they know where it is."""
    if place.user != 0:
        return
    for path in (place.program, Path(sys.base_prefix) / "bin"):
        closed = next(
            (one for one in reversed(path.parents) if not _is_open(place.root, one)), None
        )
        if closed is not None:
            yield (
                f"libvirt's machines cannot start {place.program}: they run as another user, and "
                f"{closed} is closed to others; install vgpud elsewhere, for example in /opt/vgpud"
            )
            break
    if (place.root / APPARMOR).exists():
        yield (
            "AppArmor confines libvirt's machines: for vgpud they need the line "
            f'"{place.program} PUx," in /etc/apparmor.d/local/abstractions/libvirt-qemu'
        )


def _is_open(root: Path, folder: Path) -> bool:
    try:
        return bool((root / folder.relative_to("/")).stat().st_mode & stat.S_IXOTH)
    except OSError:
        return True
