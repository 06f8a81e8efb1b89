# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""One running guest, looked at through QEMU: text, patterns, flips, the cursor, two outputs, sizes."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Iterator

import pytest

from .conftest import Report, Workshop
from .cursor import CursorPicture
from .daemon import IN_QEMU, chosen_backend
from .dbus_display import DbusDisplay
from .machine import Machine, MachineOptions
from .picture import Picture
from .screens import (
    PATTERNS,
    assert_console_is_readable,
    assert_shows,
    connectors,
    cursor_arguments,
    modetest_arguments,
    modetest_log,
    reference,
    shown,
    steady,
    wait_for_mode,
    write_text,
)
from .wiretap import Wiretap


@pytest.fixture(scope="module")
def wiretap(shared_workshop: Workshop) -> Wiretap:
    if chosen_backend() == IN_QEMU:
        pytest.skip("nothing to listen in on")
    return shared_workshop.wiretap(shared_workshop.daemon())


@pytest.fixture(scope="module")
def machine(shared_workshop: Workshop, request: pytest.FixtureRequest) -> Machine:
    # The C backend hangs at a resize when it has two outputs.
    outputs = 1 if chosen_backend() == "c-peer" else 2
    options = MachineOptions(outputs=outputs, display="dbus,p2p=on")
    if chosen_backend() == IN_QEMU:
        return shared_workshop.ready_machine(options=options)
    return shared_workshop.ready_machine(request.getfixturevalue("wiretap"), options)


@pytest.fixture(scope="module")
def display(machine: Machine) -> DbusDisplay:
    return machine.dbus_display()


@pytest.fixture
def resized(machine: Machine, display: DbusDisplay) -> Iterator[DbusDisplay]:
    yield display
    display.resize(1280, 800)
    wait_for_mode(machine, "Virtual-1", (1280, 800))


def test_the_text_console_is_readable(machine: Machine) -> None:
    write_text(machine, "every character in its place")
    assert_console_is_readable(machine)


def test_text_that_scrolls_stays_readable(machine: Machine) -> None:
    write_text(machine, "before")
    machine.guest.run("for i in $(seq 200); do echo $i $((i * i)) >/dev/tty1; done")
    write_text(machine, "after")
    assert_console_is_readable(machine)


@pytest.mark.parametrize(
    ("mode", "pattern"),
    [
        *(((1280, 800), pattern) for pattern in PATTERNS),
        ((640, 480), "smpte"),
        ((1856, 1392), "smpte"),
        ((3840, 2160), "smpte"),
    ],
)
def test_a_pattern_looks_as_on_qemus_own_device(
    machine: Machine, reference_machine: Machine, mode: tuple[int, int], pattern: str
) -> None:
    expected = reference(reference_machine, mode, pattern)
    with shown(machine, modetest_arguments({connectors(machine)[0]: mode}, pattern)):
        assert_shows(machine, expected)


def test_the_console_comes_back_after_a_pattern(machine: Machine) -> None:
    write_text(machine, "behind the pattern")
    before = assert_console_is_readable(machine)
    with shown(machine, modetest_arguments({connectors(machine)[0]: (800, 600)}, "smpte")):
        machine.wait_picture(lambda picture: picture.width == 800, "800 pixels wide")
    assert_shows(machine, before)


@pytest.mark.parametrize(
    ("mode", "option"), [((1024, 768), ""), ((1920, 1080), " -C")], ids=["still", "cursor moves"]
)
def test_page_flips_show_one_whole_picture_or_the_other(
    machine: Machine,
    reference_machine: Machine,
    report: Report,
    mode: tuple[int, int],
    option: str,
) -> None:
    width, height = mode
    # What modetest flips to is always plain.
    pictures = [reference(reference_machine, mode, pattern) for pattern in ("smpte", "plain")]
    seen: set[int] = set()
    arguments = f"-M virtio_gpu -v -s {connectors(machine)[0]}:{width}x{height} -F smpte{option}"
    with shown(machine, arguments):
        machine.wait_picture(lambda picture: picture == pictures[0], "the first picture")
        deadline = time.monotonic() + 4
        while time.monotonic() < deadline:
            picture = machine.screendump()
            if picture not in pictures:
                machine.keep(picture, "torn")
            assert picture in pictures
            seen.add(pictures.index(picture))
    rates = [float(rate) for rate in re.findall(r"freq: ([\d.]+)Hz", modetest_log(machine))]
    if rates:  # modetest says one after every 60 flips
        report(f"{statistics.median(rates):.0f} flips of {width}x{height} a second")
    assert seen == {0, 1}


def test_the_hardware_cursor_has_its_picture_and_moves(
    machine: Machine, wiretap: Wiretap, reference_cursor: CursorPicture
) -> None:
    with shown(machine, cursor_arguments(machine)):
        wiretap.cursor.wait(lambda cursor: cursor.picture is not None, "had a picture")
        wiretap.cursor.wait(lambda cursor: len(set(cursor.positions)) > 4, "moved")
        wiretap.cursor.wait(lambda cursor: cursor.visible, "was visible")
        assert all(x <= 1024 and y <= 768 for x, y in wiretap.cursor.positions)
        assert wiretap.cursor.picture == reference_cursor


@pytest.mark.usefixtures("only_vgpud")
def test_the_cursor_goes_with_the_program_that_showed_it(
    machine: Machine, wiretap: Wiretap
) -> None:
    with shown(machine, cursor_arguments(machine)):
        wiretap.cursor.wait(lambda cursor: cursor.visible, "was visible")
    wiretap.cursor.wait(lambda cursor: not cursor.visible, "was hidden")


def test_a_resize_reaches_the_guest_and_its_screen(
    machine: Machine, reference_machine: Machine, resized: DbusDisplay
) -> None:
    resized.resize(1400, 1050)
    wait_for_mode(machine, "Virtual-1", (1400, 1050))
    expected = reference(reference_machine, (1400, 1050), "smpte")
    with shown(machine, modetest_arguments({connectors(machine)[0]: (1400, 1050)}, "smpte")):
        assert_shows(machine, expected)


@pytest.mark.usefixtures("not_c_peer")
def test_two_outputs_show_the_two_parts_of_one_picture(
    machine: Machine, reference_machine: Machine, display: DbusDisplay
) -> None:
    """modetest puts its outputs side by side on one framebuffer: one resource, two scanouts."""
    modes = [(1024, 768), (800, 600)]
    reference_machine.dbus_display().resize(800, 600, head=1)
    display.resize(800, 600, head=1)
    pictures: dict[Machine, list[Picture]] = {}
    for shower in (reference_machine, machine):
        wait_for_mode(shower, "Virtual-2", (800, 600))
        settings = dict(zip(connectors(shower), modes, strict=True))
        with shown(shower, modetest_arguments(settings, "tiles")):
            pictures[shower] = [steady(shower, mode, head) for head, mode in enumerate(modes)]
    assert pictures[machine] == pictures[reference_machine]
    first, second = pictures[machine]
    assert first.crop(0, 0, 800, 600) != second


@pytest.mark.usefixtures("not_c_peer")
def test_two_consoles_mirror_each_other(machine: Machine) -> None:
    """The text console is one framebuffer that both outputs show."""
    write_text(machine, "on both")

    def mirrored(first: Picture) -> bool:
        # Taken again each time: the second output may get its mode later than the first.
        second = machine.screendump(1)
        return first.crop(0, 0, second.width, second.height) == second

    machine.wait_picture(mirrored, "the same as the second")
