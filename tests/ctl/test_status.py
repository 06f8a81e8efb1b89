# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What a status looks like: on 80 columns and one screen, whatever a guest has."""

import copy
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from vgpud.ctl.metrics import exposition
from vgpud.ctl.rates import add_rates
from vgpud.ctl.status import COLUMNS, duration, screenful, size
from vgpud.ctl.top import Seen, table

COUNTERS = (
    "commands",
    "errors",
    "out_of_memory",
    "fences",
    "transfers",
    "transfer_bytes",
    "flushes",
    "kicks",
    "calls",
    "contexts_lost",
)
MACHINE: dict[str, Any] = {
    "name": "1, process 4711",
    "lasting_name": "1",
    "seconds": 100.0,
    "session_process": 4712,
    "answers": True,
    "renderer": "virglrenderer (libvirglrenderer.so.1.8.0; AMD Radeon Graphics (radeonsi, renoir))",
    "device_process": 4713,
    "processes": {
        "session": {"pid": 4712, "cpu_seconds": 3.5, "memory_bytes": 5 << 20},
        "device": {"pid": 4713, "cpu_seconds": 60.0, "memory_bytes": 40 << 20},
    },
    "restarts": 1,
    "last_reason": "ended with SIG\x1b[2J",
    "given_up": False,
    "vulkan": {
        "render_server": {
            "pid": 4714,
            "cpu_seconds": 0.1,
            "memory_bytes": 1 << 20,
            "mapped_bytes": 5 << 20,
        },
        "workers": [
            {"pid": n, "cpu_seconds": 2.0, "memory_bytes": 30 << 20, "mapped_bytes": 900 << 20}
            for n in (4715, 4716)
        ],
        "workers_killed": 0,
        "servers_ended": 0,
        "last_reason": None,
    },
    "driver": {"offered": 1 << 32 | 3, "accepted": 1 << 32 | 3, "capsets": [2], "contexts": 9},
    "display": True,
    "viewers": 2,
    "outputs": None,
    "log_lines_left_out": 3,
    "guest_memory_bytes": 4 << 30,
    "limits": {
        "guest_memory": {"used": 4 << 30, "limit": 1 << 40},
        "image_memory": {"used": 31 << 20, "limit": 1 << 30},
        "images": {"used": 12, "limit": 1048576},
        "resources": {"used": 500, "limit": 8192},
        "contexts": {"used": 8, "limit": 64},
        "backing_entries": {"used": 123456, "limit": 1048576},
        "blob_memory": {"used": 3 << 30, "limit": 4 << 30},
        "vulkan_memory": {"used": 900 << 20, "limit": 4 << 30},
        "hostmem": {"used": 2 << 30, "limit": 8 << 30},
        "memory_slots": {"used": 300, "limit": 509},
    },
    "scanouts": [
        {"scanout_id": n, "resource_id": n + 3, "x": 0, "y": 0, "width": 3840, "height": 2160}
        for n in range(2)
    ],
    "contexts": [
        {"ctx_id": n, "capset_id": n % 3, "debug_name": f"program \x1b[2J\n{n}"}
        for n in range(1, 9)
    ],
    "resources": [
        {"resource_id": n, "kind": "3d", "format": 1, "width": n, "height": 64, "bytes": n * 256}
        for n in range(1, 500)
    ]
    + [{"resource_id": 900, "kind": "3d", "format": 1, "width": 1, "height": 1, "bytes": None}],
    "queues": {
        "control": {"size": 256, "in_flight": 12, "fences_in_flight": 1},
        "cursor": {"size": 16, "in_flight": 0, "fences_in_flight": 0},
    },
    "counters": dict.fromkeys(COUNTERS, 123456789),
    "presented": {"updates": 1000, "bytes": 10 << 30},
}


def status(machines: int) -> dict[str, Any]:
    one = {
        "version": "0.1.0",
        "socket": "/run/vgpud/vgpud.sock",
        "instance": None,
        "pid": 4700,
        "processes": {
            "daemon": {"pid": 4700, "cpu_seconds": 1.0, "memory_bytes": 20 << 20},
            "spawner": None,
        },
        "seconds": 200.0,
        "mode": "virglrenderer",
        "headless": True,
        "log_level": "info",
        "limits": {
            "machines": {"used": machines, "limit": 500},
            "connections_of_user": {"used": machines, "limit": 400},
            "silent_connections": {"used": 2, "limit": 64},
            "descriptors": {"used": 30, "limit": 1048576},
        },
        "log_lines_left_out": 0,
        "machines": [
            copy.deepcopy(MACHINE) | {"name": f"{n}, process 4711", "lasting_name": str(n)}
            for n in range(1, machines + 1)
        ],
    }
    add_rates(one, one)
    return one


def test_one_machine_is_one_screen() -> None:
    lines = screenful(status(1), 23).splitlines()
    assert len(lines) <= 23
    assert all(len(line) <= COLUMNS and line.isprintable() for line in lines)
    text = "\n".join(lines)
    for part in (
        "AMD Radeon",
        "4713, 1 restart: ended with SIG?[2J",
        "scanout 1     3840x2160+0+0 of resource 4",
        "queues        control 12/256 in flight, 1 with a fence; cursor 0/16 in flight",
        "machines 1/500, of a user 1/400, silent connections 2/64, descriptors 30/1048576",
        "limits        guest memory 4.0 GiB/1.0 TiB, image memory 31.0 MiB/1.0 GiB,",
        "resources 500/8192, contexts 8/64",
        "hostmem 2.0 GiB/8.0 GiB",
        "memory slots 300/509",
        "3 lines of the log left out",
        "8 (3 virgl, 3 virgl2, 2 default): 1 program ?[2J?1 (virgl)",
        "vulkan        render server 4714, 2 workers (900.0 MiB/4.0 GiB)",
        "500, 30.5 MiB: 499 499x64 124.8 KiB",
    ):
        assert part in text


def test_what_there_is_not_is_not_shown() -> None:
    one = status(1)
    one["machines"][0]["limits"]["hostmem"] = {"used": 0, "limit": 0}
    assert "hostmem" not in screenful(one)


def test_who_executes_vulkan_is_shown_and_who_did() -> None:
    one = status(1)
    vulkan = one["machines"][0]["vulkan"]
    reason = "context 7 (vk\x1b[2J) did not answer within 3 s"
    vulkan |= {"workers_killed": 2, "servers_ended": 1, "last_reason": reason}
    text = " ".join(screenful(one).split())
    assert "2 workers (900.0 MiB/4.0 GiB), 2 workers killed, 1 server ended: context 7" in text
    assert "context 7 (vk?[2J) did not answer within 3 s" in text
    vulkan |= {"workers": [], "workers_killed": 0, "servers_ended": 0, "last_reason": None}
    assert "  vulkan        render server 4714, 0 workers\n" in screenful(one)
    vulkan["render_server"] = None
    assert "vulkan" not in screenful(one)
    vulkan |= {"servers_ended": 1, "last_reason": "the render server ended with SIGKILL"}
    assert "no render server, 1 server ended: the render server ended" in screenful(one)


def test_metrics_have_who_executes_vulkan_and_contexts_by_their_sets() -> None:
    one = status(1)
    vulkan = one["machines"][0]["vulkan"]
    vulkan |= {"workers_killed": 2, "servers_ended": 1, "last_reason": "no\x1b answer"}
    samples = {
        (sample.name, *sorted(set(sample.labels.values()) - {one["socket"], "1"})): sample.value
        for family in text_string_to_metric_families(exposition(one))
        for sample in family.samples
    }
    assert samples["vgpud_vulkan_workers",] == 2
    assert samples["vgpud_vulkan_workers_memory_bytes",] == 60 << 20
    assert samples["vgpud_render_server",] == 1
    assert samples["vgpud_vulkan_workers_killed_total",] == 2
    assert samples["vgpud_render_servers_ended_total",] == 1
    assert samples["vgpud_contexts_lost_total",] == 123456789
    assert samples["vgpud_limit_used", "vulkan_memory"] == 900 << 20
    assert samples["vgpud_limit", "vulkan_memory"] == 4 << 30
    assert samples["vgpud_vulkan_last_reason_info", "no? answer"] == 1
    assert samples["vgpud_capset_contexts", "virgl"] == 3
    assert samples["vgpud_capset_contexts", "default"] == 2


def test_a_blob_has_no_sides() -> None:
    one = status(1)
    blob = {"resource_id": 7, "kind": "host blob", "format": 0, "width": 0, "height": 0}
    one["machines"][0]["resources"] = [blob | {"bytes": 4 << 20}]
    assert "1, 4.0 MiB: 7 host blob 4.0 MiB" in screenful(one)


def test_the_outputs_of_a_headless_machine_are_shown() -> None:
    one = status(1)
    one["machines"][0] |= {"display": False, "outputs": [{"width": 800, "height": 600}, None]}
    assert "  outputs       0 800x600, 1 off\n" in screenful(one)


def test_machines_that_do_not_fit_are_a_line_each() -> None:
    lines = screenful(status(10), 23).splitlines()
    assert len(lines) <= 23
    assert sum("3840x2160" in line for line in lines) == 10
    assert all(len(line) <= COLUMNS for line in lines)


def test_more_machines_than_lines_are_counted() -> None:
    lines = screenful(status(100), 23).splitlines()
    assert len(lines) <= 23
    shown = sum(line.endswith(" 0.0") for line in lines)
    assert lines[-1] == f"and {100 - shown} more"


def test_into_a_file_goes_everything() -> None:
    assert screenful(status(10)).count("\nmachine ") == 10


def test_rates_are_of_the_time_between_two_looks() -> None:
    before, now = status(1), status(2)
    for machine in now["machines"]:
        machine["seconds"] += 2.0
        machine["counters"] = dict.fromkeys(COUNTERS, 123456789 + 100)
        machine["presented"] = {"updates": 1, "bytes": (10 << 30) + 4096}
    add_rates(before, now)
    first, new = (machine["rates"] for machine in now["machines"])
    assert first == {
        "frames": 50.0,
        "commands": 50.0,
        "transfer_bytes": 50.0,
        "presented_bytes": 2048.0,
    }
    assert set(new.values()) == {0.0}


def test_the_cpu_of_a_process_is_of_the_same_process() -> None:
    before, now = status(1), status(1)
    [machine] = now["machines"]
    machine["seconds"] += 2.0
    machine["processes"]["session"] = {"pid": 4712, "cpu_seconds": 4.5, "memory_bytes": 0}
    machine["processes"]["device"] = {"pid": 5000, "cpu_seconds": 1.0, "memory_bytes": 0}
    machine["vulkan"]["render_server"]["cpu_seconds"] += 0.25
    same, other = machine["vulkan"]["workers"]
    same["cpu_seconds"] += 0.5
    other |= {"pid": 5001, "cpu_seconds": 1.25}
    add_rates(before, now)
    assert machine["cpu"] == {"session": 0.5, "device": 0.5, "vulkan": 1.0}
    machine["processes"]["device"] = None
    machine["answers"] = False
    add_rates(before, now)
    assert machine["cpu"] == {"session": 0.5, "device": 0.0, "vulkan": 0.0}


def test_top_shows_the_busiest_first_and_those_that_do_not_answer_too() -> None:
    one = status(3)
    for machine, cpu in zip(one["machines"], (0.1, 0.7, 1.0), strict=True):
        machine["cpu"] = {"session": 0.0, "device": cpu, "vulkan": 0.0}
    silent = one["machines"][2]
    for field in ("limits", "rates", "scanouts", "restarts", "last_reason", "given_up", "vulkan"):
        del silent[field]
    silent["answers"] = False
    lines = table([Seen(Path("/run/a.sock"), one)]).splitlines()
    assert lines[0] == "/run/a.sock: pid 4700, mode virglrenderer, machines 3/500"
    rows = [line.split() for line in lines if "%" in line and line[0] != " "]
    assert [row[:1] + row[3:5] for row in rows] == [
        ["3,", "0.0%", "100.0%"],
        ["2,", "0.0%", "70.0%"],
        ["1,", "0.0%", "10.0%"],
    ]
    assert rows[0][5:] == ["45.0M", "no", "answer"]
    assert rows[1][5:7] == ["45.0M", "31.0M/1.0G"]
    assert "  1 restart: ended with SIG?[2J" in lines
    assert all(len(line) <= COLUMNS and line.isprintable() for line in lines)
    assert len(table([Seen(Path("/run/a.sock"), one)], 5).splitlines()) == 5


def test_top_shows_what_executes_vulkan() -> None:
    one = status(3)
    drawing, plain, lost = one["machines"]
    drawing["cpu"] = {"session": 0.1, "device": 0.0, "vulkan": 0.75}
    for machine in (plain, lost):
        machine["cpu"] = {"session": 0.0, "device": 0.5, "vulkan": 0.0}
        machine["vulkan"] |= {"render_server": None, "workers": []}
    lost["vulkan"] |= {"servers_ended": 1, "last_reason": "ended with SIGSEGV"}
    lines = table([Seen(Path("/run/a.sock"), one)]).splitlines()
    assert [line for line in lines if line.startswith("  Vulkan")] == [
        "  Vulkan: 75.0%, 61.0M; render server 4714, 2 workers (900.0 MiB/4.0 GiB)",
        "  Vulkan: no render server, 1 server ended: ended with SIGSEGV",
    ]
    # What executes Vulkan counts for the order.
    assert [line.split()[0] for line in lines if line[1:2] == ","] == ["1,", "2,", "3,"]


MORE = ("queue", "limit", "process", "reason", "renderer")


def test_metrics_are_what_prometheus_reads_with_conventional_names() -> None:
    families = list(text_string_to_metric_families(exposition(status(2))))
    names = {family.name for family in families}
    assert len(names) == len(families)
    assert all(name.startswith("vgpud_") for name in names)
    assert all(family.documentation.endswith(".") for family in families)
    samples = {
        (
            sample.name,
            sample.labels.get("machine", ""),
            next((sample.labels[name] for name in MORE if name in sample.labels), None),
        ): sample.value
        for family in families
        for sample in family.samples
    }
    assert samples["vgpud_commands_total", "2", None] == 123456789
    assert samples["vgpud_presented_bytes_total", "1", None] == 10 << 30
    assert samples["vgpud_resource_bytes", "1", None] == sum(n * 256 for n in range(1, 500))
    assert samples["vgpud_queue_in_flight", "1", "control"] == 12
    assert samples["vgpud_contexts", "1", None] == 8
    assert samples["vgpud_log_lines_left_out_total", "2", None] == 3
    assert samples["vgpud_limit_used", "", "machines"] == 2
    assert samples["vgpud_limit", "", "machines"] == 500
    assert samples["vgpud_limit_used", "2", "image_memory"] == 31 << 20
    assert samples["vgpud_limit", "2", "image_memory"] == 1 << 30
    assert samples["vgpud_limit", "1", "backing_entries"] == 1048576
    assert samples["vgpud_device_process_restarts_total", "1", None] == 1
    assert samples["vgpud_device_process_last_reason_info", "2", "ended with SIG?[2J"] == 1
    assert samples["vgpud_process_cpu_seconds_total", "1", "device"] == 60
    assert samples["vgpud_process_memory_bytes", "2", "session"] == 5 << 20
    assert samples["vgpud_process_memory_bytes", "", "daemon"] == 20 << 20


def test_metrics_of_two_daemons_never_collide() -> None:
    """Of the same machines, at two sockets: in one text, or in two that are collected together."""
    one, other = status(2), status(2) | {"socket": "/run/vgpud/other/vgpud.sock"}
    lines = exposition(one, other).splitlines()
    series = [line.rpartition(" ")[0] for line in lines if not line.startswith("#")]
    assert len(set(series)) == len(series)
    apart = [*exposition(one).splitlines(), *exposition(other).splitlines()]
    assert {line for line in apart if not line.startswith("#")} == {
        line for line in lines if not line.startswith("#")
    }
    families = text_string_to_metric_families("\n".join(lines) + "\n")
    assert all(sample.labels["instance"] for family in families for sample in family.samples)


def test_no_label_is_of_one_start_alone() -> None:
    """As the number of a process is, which makes a new series at each boot."""
    text = exposition(status(2))
    assert "4711" not in text
    assert 'machine="1"' in text


def test_durations_and_sizes_are_said_as_people_do() -> None:
    assert [duration(seconds) for seconds in (0, 59.9, 60, 3725, 90000)] == [
        "0 s",
        "59 s",
        "1 min",
        "1 h 2 min",
        "1 d 1 h",
    ]
    assert [size(number) for number in (0, 1023, 1024, 1536 << 20, 3 << 40)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "1.5 GiB",
        "3.0 TiB",
    ]
