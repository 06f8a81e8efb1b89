# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What is kept of a device process's resources, and what is not trusted."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgpud.link import messages
from vgpud.link.fields import LinkError
from vgpud.link.messages import Limits
from vgpud.session.journal import Journal

LIMITS = Limits(
    image_bytes=1 << 20,
    resources=3,
    contexts=1,
    backing_entries=4,
    request_bytes=1 << 20,
    submit_bytes=1 << 20,
    blob_bytes=32 << 20,
)


@pytest.fixture
def journal() -> Iterator[Journal]:
    journal = Journal(LIMITS)
    yield journal
    journal.clear()


def create(journal: Journal, resource_id: int) -> int:
    image = os.memfd_create("image")
    descriptors = [image]
    try:
        journal.record(messages.ResourceCreated(resource_id, 1, 8, 4), descriptors)
    finally:
        for left in descriptors:
            os.close(left)
    return image


def test_what_is_replayed_is_what_there_is(journal: Journal) -> None:
    image = create(journal, 5)
    journal.record(messages.BackingAttached(5, b"e" * 32), [])
    journal.record(messages.UuidAssigned(5, b"u" * 16), [])
    assert list(journal.replay()) == [
        (messages.AdoptResource(5, 1, 8, 4), [image]),
        (messages.AdoptBacking(5, b"e" * 32), []),
        (messages.AdoptUuid(5, b"u" * 16), []),
    ]
    journal.record(messages.BackingDetached(5), [])
    assert [type(one) for one, _ in journal.replay()] == [
        messages.AdoptResource,
        messages.AdoptUuid,
    ]
    journal.record(messages.ResourceGone(5), [])
    assert list(journal.replay()) == []
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(image)


def test_what_was_not_created_has_no_backing(journal: Journal) -> None:
    for entry in (
        messages.BackingAttached(1, b""),
        messages.BackingDetached(1),
        messages.ResourceGone(1),
        messages.UuidAssigned(1, b""),
    ):
        with pytest.raises(LinkError):
            journal.record(entry, [])


def test_a_number_is_not_created_twice(journal: Journal) -> None:
    create(journal, 1)
    with pytest.raises(LinkError):
        create(journal, 1)


def test_there_are_no_more_resources_than_a_device_may_have(journal: Journal) -> None:
    for resource_id in range(3):
        create(journal, resource_id)
    with pytest.raises(LinkError):
        create(journal, 3)


def test_there_is_no_more_backing_than_a_device_may_have(journal: Journal) -> None:
    create(journal, 1)
    create(journal, 2)
    journal.record(messages.BackingAttached(1, bytes(16 * 3)), [])
    journal.record(messages.BackingAttached(1, bytes(16 * 2)), [])
    journal.record(messages.BackingAttached(2, bytes(16 * 2)), [])
    with pytest.raises(LinkError):
        journal.record(messages.BackingAttached(2, bytes(16 * 3)), [])
    # And what was there is what stays.
    assert (messages.AdoptBacking(2, bytes(16 * 2)), []) in list(journal.replay())


def test_what_no_guest_can_say_is_not_believed(journal: Journal) -> None:
    with pytest.raises(LinkError):
        create(journal, 1 << 32)
    create(journal, 1)
    with pytest.raises(LinkError):
        journal.record(messages.UuidAssigned(1, b"short"), [])


def create_3d(journal: Journal, resource_id: int) -> None:
    journal.record(messages.Resource3DCreated(resource_id, 2, 1, 2, 64, 32, 1, 1, 0, 0, 0), [])


def test_an_image_of_a_renderer_s_resource_goes_with_its_process(journal: Journal) -> None:
    create_3d(journal, 5)
    assert journal.image(5) is None
    first, second = os.memfd_create("first"), os.memfd_create("second")
    for image in (first, second):
        journal.record(messages.ImageMade(5), [image])
        assert journal.image(5) == ((64, 32), image)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(first)
    assert [type(one) for one, _ in journal.replay()] == [messages.AdoptResource3D]
    assert journal.image(5) is None
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(second)


def test_a_2d_resource_gets_no_other_image(journal: Journal) -> None:
    create(journal, 1)
    other = os.memfd_create("other")
    with pytest.raises(LinkError):
        journal.record(messages.ImageMade(1), [other])
    os.close(other)


def test_contexts_are_bounded_and_go_with_their_process(journal: Journal) -> None:
    for ctx_id in range(LIMITS.contexts):
        journal.record(messages.ContextCreated(ctx_id, 0, "x" * 1000), [])
    assert {len(one.debug_name) for one in journal.contexts} == {64}
    with pytest.raises(LinkError):
        journal.record(messages.ContextCreated(1000, 0, ""), [])
    journal.record(messages.ContextGone(0), [])
    journal.record(messages.ContextGone(4711), [])
    assert len(journal.contexts) == LIMITS.contexts - 1
    list(journal.replay())
    assert journal.contexts == []


def test_what_a_resource_takes_of_the_host_is_told(journal: Journal) -> None:
    create_3d(journal, 5)
    [told] = journal.resources(10)
    assert (told.kind, told.bytes) == ("3d", 64 * 32 * 4)
    image = os.memfd_create("image")
    os.ftruncate(image, 1 << 20)
    os.write(image, bytes(8192))
    journal.record(messages.ImageMade(5), [image])
    [told] = journal.resources(10)
    assert told.bytes == 64 * 32 * 4 + 8192
    journal.clear()


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [
                    messages.ResourceCreated,
                    messages.ResourceGone,
                    messages.BackingAttached,
                    messages.BackingDetached,
                ]
            ),
            st.integers(1, 4),
        ),
        max_size=30,
    )
)
def test_whatever_it_is_told_it_stays_within_its_limits(steps: list[tuple[type, int]]) -> None:
    journal = Journal(LIMITS)
    for kind, resource_id in steps:
        try:
            if kind is messages.ResourceCreated:
                create(journal, resource_id)
            elif kind is messages.BackingAttached:
                journal.record(messages.BackingAttached(resource_id, bytes(16)), [])
            else:
                journal.record(kind(resource_id), [])
        except LinkError:
            continue
    assert len(journal) <= LIMITS.resources
    entries = sum(
        len(one.entries) for one, _ in journal.replay() if isinstance(one, messages.AdoptBacking)
    )
    assert entries <= LIMITS.backing_entries * 16
    journal.clear()
    assert len(journal) == 0


def test_a_blob_is_replayed_with_its_backing(journal: Journal) -> None:
    journal.record(messages.BlobCreated(5, 1 << 40), [])
    journal.record(messages.BackingAttached(5, b"e" * 32), [])
    assert list(journal.replay()) == [
        (messages.AdoptBlob(5, 1 << 40), []),
        (messages.AdoptBacking(5, b"e" * 32), []),
    ]
    assert journal.blob(5) == (1 << 40, b"e" * 32)
    assert journal.image(5) is None
    [use] = journal.resources(1)
    assert (use.kind, use.bytes) == ("blob", 0)
    journal.record(messages.ResourceGone(5), [])
    assert journal.blob(5) is None


def test_a_blob_that_cannot_be_is_not_believed(journal: Journal) -> None:
    for entry in (
        messages.BlobCreated(1 << 32, 1),
        messages.BlobCreated(1, 0),
        messages.BlobCreated(1, 1 << 64),
    ):
        with pytest.raises(LinkError):
            journal.record(entry, [])
    journal.record(messages.BlobCreated(1, 1), [])
    image = os.memfd_create("image")
    with pytest.raises(LinkError):
        journal.record(messages.ImageMade(1), [image])
    os.close(image)
    create(journal, 2)
    assert journal.blob(2) is None


def test_how_far_a_driver_has_come_is_kept_until_it_begins_anew(journal: Journal) -> None:
    for capset_id in (2, 1, 2):
        journal.record(messages.CapsetAsked(capset_id), [])
    for _ in range(3):
        journal.record(messages.ContextCreated(1, 2, "program"), [])
        journal.record(messages.ContextGone(1), [])
    assert (journal.capsets_asked, journal.contexts_made) == ([1, 2], 3)
    # Another device process changes nothing of that.
    list(journal.replay())
    assert (journal.capsets_asked, journal.contexts_made) == ([1, 2], 3)
    journal.clear()
    assert (journal.capsets_asked, journal.contexts_made) == ([], 0)


def test_capability_sets_have_numbers_within_reason(journal: Journal) -> None:
    with pytest.raises(LinkError):
        journal.record(messages.CapsetAsked(64), [])


def test_a_host_blob_is_replayed_as_lost(journal: Journal) -> None:
    journal.record(messages.HostBlobCreated(5, 8192), [])
    journal.record(messages.BackingAttached(5, b"e" * 32), [])
    journal.record(messages.UuidAssigned(5, bytes(16)), [])
    assert journal.blob_bytes == 8192
    assert list(journal.replay()) == [
        (messages.AdoptHostBlob(5, 8192), []),
        (messages.AdoptBacking(5, b"e" * 32), []),
        (messages.AdoptUuid(5, bytes(16)), []),
    ]
    # Nothing of it is in the host's memory.
    [use] = journal.resources(1)
    assert (use.kind, use.bytes) == ("host blob", 0)
    assert journal.blob_bytes == 0
    # A cursor is no picture of it.
    assert journal.blob(5) is None
    assert journal.image(5) is None
    # The next process has all of the quota.
    journal.record(messages.HostBlobCreated(6, LIMITS.blob_bytes), [])
    journal.record(messages.ResourceGone(5), [])
    assert journal.blob_bytes == LIMITS.blob_bytes
    journal.record(messages.ResourceGone(6), [])
    assert journal.blob_bytes == 0


def test_more_host_blobs_than_there_may_be_are_not_believed(journal: Journal) -> None:
    journal.record(messages.HostBlobCreated(1, LIMITS.blob_bytes), [])
    for entry in (
        messages.HostBlobCreated(2, 1),
        messages.HostBlobCreated(2, 0),
        messages.HostBlobCreated(2, (1 << 64) - 1),
        messages.HostBlobCreated(1 << 32, 1),
        messages.HostBlobCreated(1, 1),
        messages.BlobCreated(1, 1),
    ):
        with pytest.raises(LinkError):
            journal.record(entry, [])
    assert (len(journal), journal.blob_bytes) == (1, LIMITS.blob_bytes)
    image = os.memfd_create("image")
    with pytest.raises(LinkError):
        journal.record(messages.ImageMade(1), [image])
    os.close(image)


# --- what scanouts show of host blobs


def picture(journal: Journal, scanout_id: int, width: int = 8, height: int = 4) -> int:
    """The descriptor that the journal has then."""
    journal.record(messages.PictureMade(scanout_id, width, height), [os.memfd_create("picture")])
    found = journal.picture(scanout_id)
    assert found is not None
    assert found[0] == (width, height)
    return found[1]


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def test_a_picture_outlives_the_process_that_made_it(journal: Journal) -> None:
    journal.record(messages.HostBlobCreated(5, 8192), [])
    image = picture(journal, 3)
    assert list(journal.replay()) == [
        (messages.AdoptHostBlob(5, 8192), []),
        (messages.AdoptPicture(3, 8, 4), [image]),
    ]
    assert journal.picture(3) == ((8, 4), image)
    assert journal.picture(2) is None
    assert journal.is_host_blob(5)
    assert not journal.is_host_blob(6)


def test_a_scanout_has_one_picture(journal: Journal) -> None:
    before = picture(journal, 0)
    # Another takes its place, whose number may be the same.
    kept = os.dup(before)
    after = picture(journal, 0, 16, 16)
    assert os.fstat(kept).st_ino != os.fstat(after).st_ino
    os.close(kept)
    journal.record(messages.PictureGone(0), [])
    assert journal.picture(0) is None
    assert not is_open(after)
    journal.record(messages.PictureGone(0), [])
    assert list(journal.replay()) == []


def test_pictures_go_with_the_device_s_reset(journal: Journal) -> None:
    images = [picture(journal, scanout_id) for scanout_id in range(16)]
    journal.clear()
    assert not any(map(is_open, images))
    assert list(journal.replay()) == []


@pytest.mark.parametrize(
    "entry",
    [
        messages.PictureMade(16, 8, 8),
        messages.PictureMade(1 << 63, 8, 8),
        messages.PictureMade(0, 1 << 32, 8),
        messages.PictureMade(0, 8, 1 << 63),
        messages.PictureGone(16),
    ],
)
def test_a_picture_that_cannot_be_is_not_believed(
    journal: Journal, entry: messages.PictureMade | messages.PictureGone
) -> None:
    descriptors = [os.memfd_create("picture")]
    with pytest.raises(LinkError):
        journal.record(entry, descriptors)
    os.close(descriptors.pop())
