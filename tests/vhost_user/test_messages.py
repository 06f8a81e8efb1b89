# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""vhost-user's structures: what is well-formed and what is not."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgpud.errors import FrontendError
from vgpud.link.messages import MemoryRegion
from vgpud.vhost_user import messages
from vgpud.vhost_user.messages import ConfigAccess, VringDescriptor, VringState
from vgpud.vhost_user.requests import REQUESTS


def test_a_header_is_three_numbers_of_the_host() -> None:
    header = messages.parse_header(struct.pack("=3I", 37, 9, 40))
    assert header == (37, 9, 40)


@pytest.mark.parametrize(
    ("flags", "size"),
    [(0, 0), (2, 0), (5, 0), (1 | 1 << 4, 0), (1, messages.MAXIMUM_PAYLOAD + 1), (1, 2**32 - 1)],
    ids=["no version", "version 2", "a reply", "an unknown flag", "too large", "huge"],
)
def test_a_header_that_no_front_end_sends_is_refused(flags: int, size: int) -> None:
    with pytest.raises(FrontendError):
        messages.parse_header(struct.pack("=3I", 1, flags, size))


def test_a_reply_has_the_number_of_its_request_and_flags_5() -> None:
    assert messages.reply(24, b"abc") == struct.pack("=3I", 24, 5, 3) + b"abc"


def test_a_memory_table_has_a_region_for_each_that_it_counts() -> None:
    region = struct.pack("=4Q", 1, 2, 3, 4)
    assert messages.memory_table(struct.pack("=2I", 1, 0) + region) == (MemoryRegion(1, 2, 3, 4),)
    assert messages.memory_table(struct.pack("=2I", 0, 0)) == ()


@pytest.mark.parametrize("count", [0, 2, 2**32 - 1])
def test_a_memory_table_that_counts_wrongly_is_refused(count: int) -> None:
    with pytest.raises(FrontendError):
        messages.memory_table(struct.pack("=2I4Q", count, 0, 1, 2, 3, 4))


def test_a_memory_table_of_more_than_eight_regions_is_refused() -> None:
    with pytest.raises(FrontendError):
        messages.memory_table(struct.pack("=2I", 9, 0) + bytes(9 * 32))


def test_the_regions_of_single_slots_come_behind_padding() -> None:
    assert messages.memory_region(struct.pack("=5Q", 9, 1, 2, 3, 4)) == (1, 2, 3, 4)


def test_bit_8_says_that_there_is_no_descriptor() -> None:
    assert messages.vring_descriptor(struct.pack("=Q", 0x101)) == VringDescriptor(1, False)
    assert messages.vring_descriptor(struct.pack("=Q", 0x001)) == VringDescriptor(1, True)
    with pytest.raises(FrontendError):
        messages.vring_descriptor(struct.pack("=Q", 0x201))


@pytest.mark.parametrize(
    ("offset", "size", "sent"), [(0, 257, 257), (250, 7, 7), (2**32 - 1, 2, 2), (0, 20, 19)]
)
def test_an_access_beyond_the_configuration_space_is_refused(
    offset: int, size: int, sent: int
) -> None:
    with pytest.raises(FrontendError):
        messages.config_access(struct.pack("=3I", offset, size, 0) + bytes(sent))


def test_an_access_to_the_configuration_space_is_echoed() -> None:
    payload = struct.pack("=3I", 4, 3, 1) + b"xyz"
    access = messages.config_access(payload)
    assert access == ConfigAccess(4, 3, 1, b"xyz")
    assert messages.pack_config(access) == payload


def test_a_vring_state_goes_there_and_back() -> None:
    state = VringState(1, 0x80008000)
    assert messages.vring_state(messages.pack_vring_state(state)) == state


@given(st.sampled_from(sorted(REQUESTS)), st.binary(max_size=messages.MAXIMUM_PAYLOAD))
def test_any_payload_is_parsed_or_is_the_front_end_s_mistake(request: int, payload: bytes) -> None:
    entry = REQUESTS[request]
    try:
        parsed = entry.parse(payload)
    except FrontendError:
        return
    # How many descriptors belong to it is known, and few enough for one message.
    assert all(0 <= count <= 8 for count in entry.descriptors(parsed))
