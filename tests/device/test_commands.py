# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What each command of Python's answers, right and wrong, and what the daemon is told before."""

import errno
import uuid
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgpud.device.commands.entries import ENTRY_SIZE
from vgpud.device.dispatch import COMMANDS
from vgpud.device.renderers.interface import Group
from vgpud.link import messages
from vgpud.link.codec import LinkClosedError
from vgpud.wire import virtio_gpu as wire
from vgpud.wire.formats import VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM as BGRX
from vgpud.wire.layout import pack, size_of, unpack

from .bench import Bench

OK = wire.VIRTIO_GPU_RESP_OK_NODATA
UNSPEC = wire.VIRTIO_GPU_RESP_ERR_UNSPEC
OUT_OF_MEMORY = wire.VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY
INVALID_SCANOUT = wire.VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID
INVALID_RESOURCE = wire.VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID
INVALID_CONTEXT = wire.VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID
INVALID_PARAMETER = wire.VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER

CREATE_2D = wire.VIRTIO_GPU_CMD_RESOURCE_CREATE_2D
UNREF = wire.VIRTIO_GPU_CMD_RESOURCE_UNREF
ATTACH = wire.VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING
DETACH = wire.VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING
UUID = wire.VIRTIO_GPU_CMD_RESOURCE_ASSIGN_UUID
SET_SCANOUT = wire.VIRTIO_GPU_CMD_SET_SCANOUT

ENTRY = pack(wire.virtio_gpu_mem_entry(0x1000, 4096))


@pytest.fixture(params=["2d", "null"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    made = Bench(request.param)
    yield made
    made.close()


@pytest.fixture
def null() -> Iterator[Bench]:
    made = Bench("null")
    yield made
    made.close()


def _create(bench: Bench, resource_id: int = 1) -> int | None:
    command = wire.virtio_gpu_resource_create_2d(resource_id, BGRX, 64, 32)
    return bench.command(CREATE_2D, command)


def _attach(bench: Bench, resource_id: int = 1, nr_entries: int = 2) -> int | None:
    command = wire.virtio_gpu_resource_attach_backing(resource_id, nr_entries)
    return bench.command(ATTACH, command, ENTRY * nr_entries)


def _show(bench: Bench, scanout_id: int, resource_id: int) -> int | None:
    rect = wire.virtio_gpu_rect(0, 0, 64, 32)
    return bench.command(SET_SCANOUT, wire.virtio_gpu_set_scanout(rect, scanout_id, resource_id))


# --- dispatch


@pytest.mark.parametrize("type", [0, 0x0099, 0x010E, 0x0210, 0x0300, 0x1100, 0xFFFFFFFF])
def test_an_unknown_command_is_answered_and_logged(bench: Bench, type: int) -> None:
    assert bench.command(type) == UNSPEC
    [log] = bench.told()
    assert isinstance(log, messages.Log)


@pytest.mark.parametrize("length", range(24))
def test_a_request_without_a_whole_header_is_answered(bench: Bench, length: int) -> None:
    chain = bench.send(bytes(length))
    assert bench.plane.responses == [(chain, UNSPEC, b"")]


@pytest.mark.parametrize(
    "type",
    [key for key, command in COMMANDS.items() if command.structure and size_of(command.structure)],
)
def test_a_command_that_is_cut_short_is_refused(null: Bench, type: int) -> None:
    header = pack(wire.virtio_gpu_ctrl_hdr(type, ctx_id=1))
    chain = null.send(header + bytes(3))
    assert null.plane.responses == [(chain, UNSPEC, b"")]


@pytest.mark.parametrize(
    ("error", "response"),
    [
        (errno.ENOENT, INVALID_RESOURCE),
        (errno.ENODEV, INVALID_SCANOUT),
        (errno.EINVAL, INVALID_PARAMETER),
        (errno.ENOMEM, OUT_OF_MEMORY),
        (errno.EMFILE, OUT_OF_MEMORY),
        (errno.EFAULT, UNSPEC),
        (errno.EEXIST, INVALID_RESOURCE),
        (errno.EBUSY, UNSPEC),
        (errno.EIO, UNSPEC),
    ],
)
def test_what_the_data_plane_refuses_gets_its_response(
    bench: Bench, error: int, response: int
) -> None:
    bench.plane.fails_with = error
    assert _create(bench) == response
    # Nothing was created: the number is free, and the daemon knows of nothing.
    bench.plane.fails_with = 0
    assert [type(message) for message in bench.told()] == [messages.Log]
    assert _create(bench) == OK


def test_a_guest_that_does_everything_wrong_does_not_fill_the_log(bench: Bench) -> None:
    for _ in range(1000):
        bench.command(0xDEAD)
    assert len(bench.told()) < 20


def test_memory_that_goes_before_the_answer_is_reported(bench: Bench) -> None:
    bench.plane.memory_is_gone = True
    assert _create(bench) is None
    assert bench.told() == [messages.ResourceCreated(1, BGRX, 64, 32), messages.MemoryFault()]


@given(
    type=st.one_of(st.sampled_from(sorted(COMMANDS)), st.integers(0, 2**32 - 1)),
    body=st.lists(
        st.one_of(st.integers(0, 4), st.sampled_from([64, 2**31, 2**32 - 1])), max_size=30
    ),
    cut=st.integers(0, 3),
    mode=st.sampled_from(["2d", "null"]),
)
def test_any_bytes_are_answered_once(type: int, body: list[int], cut: int, mode: str) -> None:
    bench = Bench(mode)
    data = pack(wire.virtio_gpu_ctrl_hdr(type, ctx_id=1))
    data += b"".join(number.to_bytes(4, "little") for number in body)
    for _ in range(2):
        bench.send(data[: len(data) - cut])
    questions = [
        message
        for message in bench.told()
        if isinstance(message, messages.GetDisplayInfo | messages.GetEdid)
    ]
    assert len(bench.plane.responses) + len(questions) == 2
    bench.close()


# --- resources


def test_a_resource_is_announced_with_its_image(bench: Bench) -> None:
    assert _create(bench) == OK
    assert bench.told() == [messages.ResourceCreated(1, BGRX, 64, 32)]


def test_the_daemon_is_told_before_the_guest_is_answered(bench: Bench) -> None:
    bench.daemon.close()
    with pytest.raises(LinkClosedError):
        _create(bench)
    assert bench.plane.responses == []


def test_a_resource_number_can_be_used_once(bench: Bench) -> None:
    assert _create(bench, 0) == INVALID_RESOURCE
    assert _create(bench, 1) == OK
    assert _create(bench, 1) == INVALID_RESOURCE
    assert bench.command(UNREF, wire.virtio_gpu_resource_unref(1)) == OK
    assert _create(bench, 1) == OK


def test_too_many_resources_are_out_of_memory(bench: Bench) -> None:
    limit = bench.start.limits.resources
    assert [_create(bench, 1 + number) for number in range(limit)] == [OK] * limit
    assert _create(bench, 1000) == OUT_OF_MEMORY
    bench.command(UNREF, wire.virtio_gpu_resource_unref(1))
    assert _create(bench, 1000) == OK


@pytest.mark.parametrize(
    ("type", "command"),
    [
        (UNREF, wire.virtio_gpu_resource_unref(5)),
        (ATTACH, wire.virtio_gpu_resource_attach_backing(5, 0)),
        (DETACH, wire.virtio_gpu_resource_detach_backing(5)),
        (UUID, wire.virtio_gpu_resource_assign_uuid(5)),
        (UUID, wire.virtio_gpu_resource_assign_uuid(0)),
    ],
)
def test_a_resource_that_does_not_exist_is_invalid(
    bench: Bench, type: int, command: tuple[int, ...]
) -> None:
    assert bench.command(type, command) == INVALID_RESOURCE
    assert bench.plane.calls == []


def test_backing_is_announced_with_its_entries(bench: Bench) -> None:
    _create(bench)
    assert _attach(bench) == OK
    assert bench.plane.backing == {1: ENTRY * 2}
    assert bench.command(DETACH, wire.virtio_gpu_resource_detach_backing(1)) == OK
    assert bench.plane.backing == {}
    assert bench.told()[1:] == [messages.BackingAttached(1, ENTRY * 2), messages.BackingDetached(1)]


def test_a_second_backing_is_refused_and_not_announced(bench: Bench) -> None:
    _create(bench)
    _attach(bench)
    bench.told()
    assert _attach(bench, nr_entries=1) == UNSPEC
    assert [type(message) for message in bench.told()] == [messages.Log]


def test_entries_that_are_not_there_are_refused(bench: Bench) -> None:
    _create(bench)
    command = wire.virtio_gpu_resource_attach_backing(1, 2)
    assert bench.command(ATTACH, command, (ENTRY * 2)[:-1]) == UNSPEC
    assert bench.plane.backing == {}


def test_what_follows_the_last_entry_is_not_an_entry(bench: Bench) -> None:
    _create(bench)
    command = wire.virtio_gpu_resource_attach_backing(1, 1)
    assert bench.command(ATTACH, command, ENTRY * 3) == OK
    assert bench.plane.backing == {1: ENTRY}


@pytest.mark.parametrize("nr_entries", [17, 1 << 28, 0xFFFFFFFF])
def test_more_entries_than_the_quota_are_out_of_memory(bench: Bench, nr_entries: int) -> None:
    _create(bench)
    command = wire.virtio_gpu_resource_attach_backing(1, nr_entries)
    assert bench.command(ATTACH, command, ENTRY * 17) == OUT_OF_MEMORY


def test_entries_that_the_link_cannot_carry_are_out_of_memory() -> None:
    bench = Bench(backing_entries=1 << 30)
    _create(bench)
    nr_entries = (16 << 20) // ENTRY_SIZE + 1
    command = wire.virtio_gpu_resource_attach_backing(1, nr_entries)
    assert bench.command(ATTACH, command, ENTRY * nr_entries) == OUT_OF_MEMORY
    bench.close()


def test_a_resource_keeps_its_uuid(bench: Bench) -> None:
    _create(bench, 1)
    _create(bench, 2)
    given = []
    for resource_id in (1, 2, 1):
        command = wire.virtio_gpu_resource_assign_uuid(resource_id)
        assert bench.command(UUID, command) == wire.VIRTIO_GPU_RESP_OK_RESOURCE_UUID
        given.append(unpack(wire.virtio_gpu_resp_resource_uuid, bench.body()).uuid)
    assert given[0] == given[2] != given[1]
    assert uuid.UUID(bytes=given[0]).version == 4
    assert bench.told()[2:] == [
        messages.UuidAssigned(1, given[0]),
        messages.UuidAssigned(2, given[1]),
    ]


# --- scanouts


def test_a_scanout_shows_a_resource_and_is_disabled_again(bench: Bench) -> None:
    _create(bench)
    assert _show(bench, 1, 1) == OK
    assert _show(bench, 1, 0) == OK
    assert bench.plane.calls[1:] == [
        ("scanout_set", 1, 1, 0, 0, 64, 32),
        ("scanout_set", 1, 0, 0, 0, 64, 32),
    ]


@pytest.mark.parametrize("scanout_id", [2, 16, 0xFFFFFFFF])
@pytest.mark.parametrize("resource_id", [0, 1])
def test_a_scanout_that_does_not_exist_is_invalid(
    bench: Bench, scanout_id: int, resource_id: int
) -> None:
    _create(bench)
    assert _show(bench, scanout_id, resource_id) == INVALID_SCANOUT


def test_a_scanout_cannot_show_what_does_not_exist(bench: Bench) -> None:
    assert _show(bench, 0, 1) == INVALID_RESOURCE


# --- the display


def _display_info(sizes: list[tuple[int, int]]) -> bytes:
    pmodes = [
        wire.virtio_gpu_display_one(wire.virtio_gpu_rect(0, 0, *size), int(size != (0, 0)))
        for size in sizes + [(0, 0)] * (16 - len(sizes))
    ]
    return pack(wire.virtio_gpu_resp_display_info(tuple(pmodes)))


def test_display_information_is_asked_of_the_daemon_each_time(bench: Bench) -> None:
    ok = wire.VIRTIO_GPU_RESP_OK_DISPLAY_INFO
    for size in [(800, 600), (1024, 768)]:
        assert bench.command(wire.VIRTIO_GPU_CMD_GET_DISPLAY_INFO) is None
        [question] = bench.told()
        assert isinstance(question, messages.GetDisplayInfo)
        body = _display_info([size])
        response = pack(wire.virtio_gpu_ctrl_hdr(ok)) + body
        bench.device.questions.answered(messages.Answer(question.request, 0, response))
        assert bench.plane.responses[-1][1:] == (ok, body)


def test_answers_may_come_in_any_order(bench: Bench) -> None:
    edid = wire.VIRTIO_GPU_CMD_GET_EDID
    assert bench.command(edid, wire.virtio_gpu_cmd_get_edid(0)) is None
    assert bench.command(edid, wire.virtio_gpu_cmd_get_edid(1)) is None
    first, second = bench.told()
    assert isinstance(first, messages.GetEdid)
    assert isinstance(second, messages.GetEdid)
    assert (first.scanout_id, second.scanout_id) == (0, 1)
    header = pack(wire.virtio_gpu_ctrl_hdr(wire.VIRTIO_GPU_RESP_OK_EDID))
    bodies = [pack(wire.virtio_gpu_resp_edid(256, 0, bytes([n]) * 1024)) for n in (1, 2)]
    bench.device.questions.answered(messages.Answer(second.request, 0, header + bodies[1]))
    bench.device.questions.answered(messages.Answer(first.request, 0, header + bodies[0]))
    assert [(chain, body) for chain, _, body in bench.plane.responses] == [
        (2, bodies[1]),
        (1, bodies[0]),
    ]


@pytest.mark.parametrize("response", [b"", bytes(408), b"short", bytes(500)])
def test_without_a_display_the_configured_ones_are_reported(bench: Bench, response: bytes) -> None:
    bench.command(wire.VIRTIO_GPU_CMD_GET_DISPLAY_INFO)
    [question] = bench.told()
    assert isinstance(question, messages.GetDisplayInfo)
    bench.device.questions.answered(messages.Answer(question.request, 0, response))
    [(_, response_type, body)] = bench.plane.responses
    assert response_type == wire.VIRTIO_GPU_RESP_OK_DISPLAY_INFO
    one, two, *rest = unpack(wire.virtio_gpu_resp_display_info, body).pmodes
    assert one == ((0, 0, 1280, 800), 1, 0)
    assert two == ((1280, 0, 640, 480), 1, 0)
    assert set(rest) == {((0, 0, 0, 0), 0, 0)}


def test_without_a_display_there_is_no_edid(bench: Bench) -> None:
    bench.command(wire.VIRTIO_GPU_CMD_GET_EDID, wire.virtio_gpu_cmd_get_edid(0))
    [question] = bench.told()
    assert isinstance(question, messages.GetEdid)
    bench.device.questions.answered(messages.Answer(question.request, 0, b""))
    assert bench.plane.responses == [(1, UNSPEC, b"")]


def test_the_edid_of_a_scanout_that_does_not_exist_is_refused(bench: Bench) -> None:
    command = wire.virtio_gpu_cmd_get_edid(2)
    assert bench.command(wire.VIRTIO_GPU_CMD_GET_EDID, command) == INVALID_PARAMETER


@pytest.mark.parametrize("request_", [messages.StopQueue(), messages.Reset()])
def test_an_answer_that_comes_after_the_queue_was_stopped_is_dropped(
    bench: Bench, request_: messages.Message
) -> None:
    bench.command(wire.VIRTIO_GPU_CMD_GET_DISPLAY_INFO)
    [question] = bench.told()
    assert isinstance(question, messages.GetDisplayInfo)
    bench.request(request_)
    bench.device.questions.answered(messages.Answer(question.request, 0, b""))
    assert bench.plane.responses == []


def test_an_answer_that_nobody_asked_for_is_dropped(bench: Bench) -> None:
    bench.device.questions.answered(messages.Answer(99, 0, b""))
    bench.device.questions.answered(messages.Answer(99, 0, b""))
    assert bench.plane.responses == []


# --- capsets, 3D and blobs


def test_there_is_no_capset(bench: Bench) -> None:
    info = wire.virtio_gpu_get_capset_info(0)
    assert bench.command(wire.VIRTIO_GPU_CMD_GET_CAPSET_INFO, info) == INVALID_PARAMETER
    capset = wire.virtio_gpu_get_capset(wire.VIRTIO_GPU_CAPSET_VIRGL2, 1)
    assert bench.command(wire.VIRTIO_GPU_CMD_GET_CAPSET, capset) == INVALID_PARAMETER


THREE_D = [key for key, command in COMMANDS.items() if command.group is not Group.IMAGES]
BLOB_FEATURE = 1 << wire.VIRTIO_GPU_F_RESOURCE_BLOB


@pytest.mark.parametrize("type", THREE_D)
def test_2d_has_no_3d_command(type: int) -> None:
    bench = Bench("2d")
    structure = COMMANDS[type].structure
    assert structure is not None
    assert bench.command(type, rest=bytes(200), ctx_id=1) == UNSPEC
    bench.close()


def test_null_accepts_the_life_of_a_context(null: Bench) -> None:
    create = wire.virtio_gpu_ctx_create(4, 0, b"test")
    assert null.command(wire.VIRTIO_GPU_CMD_CTX_CREATE, create, ctx_id=1) == OK
    resource = wire.virtio_gpu_resource_create_3d(7, 2, 1, 2, 64, 64, 1, 1, 0, 0, 0)
    assert null.command(wire.VIRTIO_GPU_CMD_RESOURCE_CREATE_3D, resource) == OK
    assert _attach(null, 7) == OK
    attach = wire.virtio_gpu_ctx_resource(7)
    assert null.command(wire.VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE, attach, ctx_id=1) == OK
    assert _show(null, 0, 7) == OK
    assert null.command(wire.VIRTIO_GPU_CMD_CTX_DETACH_RESOURCE, attach, ctx_id=1) == OK
    assert null.command(DETACH, wire.virtio_gpu_resource_detach_backing(7)) == OK
    assert null.command(UNREF, wire.virtio_gpu_resource_unref(7)) == OK
    assert null.command(wire.VIRTIO_GPU_CMD_CTX_DESTROY, ctx_id=1) == OK


def _create_blob(
    bench: Bench, resource_id: int = 9, nr_entries: int = 2, **other: int
) -> int | None:
    fields = {
        "blob_mem": wire.VIRTIO_GPU_BLOB_MEM_GUEST,
        "blob_flags": 0,
        "blob_id": 0,
        "size": 8192,
    }
    command = wire.virtio_gpu_resource_create_blob(
        resource_id=resource_id, nr_entries=nr_entries, **fields | other
    )
    return bench.command(wire.VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB, command, ENTRY * nr_entries)


def test_the_session_is_told_of_the_life_of_a_blob(bench: Bench) -> None:
    bench.request(messages.SetFeatures(BLOB_FEATURE))
    assert _create_blob(bench) == OK
    scanout = wire.virtio_gpu_set_scanout_blob(
        wire.virtio_gpu_rect(0, 0, 32, 32), 0, 9, 32, 32, BGRX, 0, (128, 0, 0, 0), (0, 0, 0, 0)
    )
    assert bench.command(wire.VIRTIO_GPU_CMD_SET_SCANOUT_BLOB, scanout) == OK
    command = wire.virtio_gpu_resource_map_blob(9, 0, 4096)
    assert bench.command(wire.VIRTIO_GPU_CMD_RESOURCE_MAP_BLOB, command) == UNSPEC
    assert bench.command(DETACH, wire.virtio_gpu_resource_detach_backing(9)) == OK
    assert _attach(bench, 9) == OK
    assert bench.command(UNREF, wire.virtio_gpu_resource_unref(9)) == OK
    assert [one for one in bench.told() if not isinstance(one, messages.Log)] == [
        messages.BlobCreated(9, 8192),
        messages.BackingAttached(9, ENTRY * 2),
        messages.BackingDetached(9),
        messages.BackingAttached(9, ENTRY * 2),
        messages.ResourceGone(9),
    ]


@pytest.mark.parametrize(
    ("changed", "response"),
    [
        ({"blob_mem": 0}, INVALID_PARAMETER),
        ({"blob_mem": 4}, INVALID_PARAMETER),
        ({"blob_flags": 8}, INVALID_PARAMETER),
        ({"blob_flags": 1 << 31}, INVALID_PARAMETER),
        ({"blob_id": 1}, INVALID_PARAMETER),
        ({"blob_id": 1 << 63}, INVALID_PARAMETER),
        ({"size": 0}, INVALID_PARAMETER),
        ({"size": 8193}, INVALID_PARAMETER),
        ({"size": 2**64 - 1}, INVALID_PARAMETER),
        ({"nr_entries": 0}, INVALID_PARAMETER),
        ({"nr_entries": 17}, OUT_OF_MEMORY),
        ({"resource_id": 0}, INVALID_RESOURCE),
    ],
)
def test_a_blob_that_cannot_be_is_none(
    bench: Bench, changed: dict[str, int], response: int
) -> None:
    bench.request(messages.SetFeatures(BLOB_FEATURE))
    assert _create_blob(bench, **changed) == response
    assert [type(message) for message in bench.told()] == [messages.Log]
    # Nothing of it is left.
    assert _create_blob(bench) == OK


@pytest.mark.parametrize(
    "blob_mem", [wire.VIRTIO_GPU_BLOB_MEM_HOST3D, wire.VIRTIO_GPU_BLOB_MEM_HOST3D_GUEST]
)
def test_a_blob_of_the_hosts_needs_a_library_and_a_context(bench: Bench, blob_mem: int) -> None:
    bench.request(messages.SetFeatures(BLOB_FEATURE))
    host_blobs = bench.device.renderer.host_blobs
    nr_entries = 2 if blob_mem == wire.VIRTIO_GPU_BLOB_MEM_HOST3D_GUEST else 0
    response = _create_blob(bench, blob_mem=blob_mem, nr_entries=nr_entries)
    assert response == (INVALID_CONTEXT if host_blobs else INVALID_PARAMETER)


def test_without_the_feature_there_are_no_blobs(bench: Bench) -> None:
    assert _create_blob(bench) == UNSPEC
    bench.request(messages.SetFeatures(~BLOB_FEATURE & (1 << 64) - 1))
    assert _create_blob(bench) == UNSPEC


def test_a_command_for_blobs_wants_a_blob(null: Bench) -> None:
    null.request(messages.SetFeatures(BLOB_FEATURE))
    _create(null)
    command = wire.virtio_gpu_resource_map_blob(1, 0, 0)
    assert null.command(wire.VIRTIO_GPU_CMD_RESOURCE_MAP_BLOB, command) == INVALID_RESOURCE


def test_a_context_that_does_not_exist_is_invalid(null: Bench) -> None:
    _create(null)
    attach = wire.virtio_gpu_ctx_resource(1)
    assert null.command(wire.VIRTIO_GPU_CMD_CTX_DESTROY, ctx_id=1) == INVALID_CONTEXT
    for command in (
        wire.VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE,
        wire.VIRTIO_GPU_CMD_CTX_DETACH_RESOURCE,
    ):
        assert null.command(command, attach, ctx_id=1) == INVALID_CONTEXT


def test_contexts_have_numbers_of_their_own_and_a_quota(null: Bench) -> None:
    create = wire.virtio_gpu_ctx_create(0, 0, b"")

    def make(ctx_id: int) -> int | None:
        return null.command(wire.VIRTIO_GPU_CMD_CTX_CREATE, create, ctx_id=ctx_id)

    assert make(0) == INVALID_CONTEXT
    assert [make(number) for number in (1, 2, 3)] == [OK] * 3
    assert make(3) == INVALID_CONTEXT
    assert make(4) == OUT_OF_MEMORY
    assert null.command(wire.VIRTIO_GPU_CMD_CTX_DESTROY, ctx_id=1) == OK
    assert make(4) == OK
