# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sparsifying, the image digest and raw files: the content stays, whatever the cut."""

from __future__ import annotations

import io
import random
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.digest import ImageDigest
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.raw import write_raw
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.records import (
    Data,
    Header,
    Record,
    Zero,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.sparsify import sparsify
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import StreamError
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._diffstream.cases import count
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._diffstream.model import (
    apply,
    assert_well_formed,
    decode,
    image_digest,
)
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._diffstream.strategies import (
    State,
    histories,
    images,
)

BLOCK = 4096
X = b"x" * BLOCK
Z = bytes(BLOCK)


def digest(size: int, records: t.Iterable[Record]) -> str:
    """The image digest as the collection computes it."""
    result = ImageDigest(size)
    for record in records:
        result.update(record)
    return result.hexdigest()


class HalfWriter(io.BytesIO):
    """An unbuffered file that takes only half of what it is given."""

    def write(self, data: t.Any) -> int:
        """Write the first half."""
        return super().write(data[: (len(data) + 1) // 2])


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([], []),
        ([Zero(0, 5)], [Zero(0, 5)]),
        ([Zero(0, 5), Zero(5, 5), Zero(11, 1)], [Zero(0, 10), Zero(11, 1)]),
        ([Data(7, bytes(9))], [Zero(7, 9)]),
        ([Data(0, X)], [Data(0, X)]),
        ([Data(0, X + Z + Z + X)], [Data(0, X), Zero(BLOCK, 2 * BLOCK), Data(3 * BLOCK, X)]),
        ([Data(0, Z + X), Data(2 * BLOCK, Z)], [Zero(0, BLOCK), Data(BLOCK, X), Zero(2 * BLOCK, BLOCK)]),
        ([Data(0, X + Z), Data(2 * BLOCK, Z + X)], [Data(0, X), Zero(BLOCK, 2 * BLOCK), Data(3 * BLOCK, X)]),
        ([Data(0, X + Z), Zero(2 * BLOCK, 9)], [Data(0, X), Zero(BLOCK, BLOCK + 9)]),
        # Zeros that fill no aligned block stay where they are.
        ([Data(1, Z + b"x")], [Data(1, Z + b"x")]),
        ([Data(1, b"x" + Z)], [Data(1, b"x" + Z)]),
        # Beside a hole they belong to it.
        ([Data(512, Z + Z + b"x")], [Zero(512, 2 * BLOCK - 512), Data(2 * BLOCK, bytes(512) + b"x")]),
        ([Data(0, X + Z + bytes(100))], [Data(0, X), Zero(BLOCK, BLOCK + 100)]),
        # A hole of one part does not join another with something in between.
        ([Data(0, Z), Data(BLOCK + 1, bytes(4))], [Zero(0, BLOCK), Zero(BLOCK + 1, 4)]),
    ],
)
def test_zeros_become_zero_records(records: list[Record], expected: list[Record]) -> None:
    assert list(sparsify(records)) == expected


def test_data_without_zero_blocks_is_passed_on_uncopied() -> None:
    record = Data(0, X * 10)
    assert next(sparsify([record])) is record


def test_a_record_longer_than_any_constant() -> None:
    data = bytes(5 << 20)
    assert list(sparsify([Data(0, data)])) == [Zero(0, len(data))]
    assert digest(len(data), [Data(0, data)]) == image_digest(data)


@given(images())
def test_sparsify_keeps_the_content_and_leaves_no_zero_block(case: tuple[bytes, list[list[Record]]]) -> None:
    image, cuts = case
    header = Header(None, "s", len(image))
    for records in cuts:
        count()
        thin = list(sparsify(records))
        assert_well_formed(header, thin)
        assert apply(b"\xff" * len(image), header, thin) == apply(b"\xff" * len(image), header, records)
        for before, after in zip(thin, thin[1:]):
            assert not (isinstance(before, Zero) and isinstance(after, Zero) and before.end == after.offset)
        for record in thin:
            if isinstance(record, Data):
                first = -record.offset % BLOCK
                blocks = [record.data[at : at + BLOCK] for at in range(first, len(record.data), BLOCK)]
                assert Z not in blocks
                assert any(record.data)


@given(histories(unit=512))
def test_sparsify_keeps_a_diff(history: list[State]) -> None:
    """In a diff a zero overwrites, so it must be applied to what was there."""
    for before, after in zip(history, history[1:]):
        count()
        header, records = decode(after.diff)
        assert apply(before.content, header, sparsify(records)) == after.content


@given(images(), st.booleans())
def test_the_digest_depends_on_the_content_alone(case: tuple[bytes, list[list[Record]]], thin: bool) -> None:
    image, cuts = case
    for records in cuts:
        count()
        assert digest(len(image), sparsify(records) if thin else records) == image_digest(image)


@given(images(unit=512), st.integers(0, 2**32))
def test_different_content_has_a_different_digest(case: tuple[bytes, list[list[Record]]], seed: int) -> None:
    image, (records, _other) = case
    count()
    if image:
        changed = bytearray(image)
        changed[random.Random(seed).randrange(len(image))] ^= 1
        assert digest(len(image), records) != digest(len(image), [Data(0, bytes(changed))])
    assert digest(len(image), records) != digest(len(image) + 1, records)


def test_a_digest_of_nothing_and_of_every_kind_of_last_block() -> None:
    assert digest(0, []) == image_digest(b"")
    assert digest(10_000, []) == image_digest(bytes(10_000))
    for size in (1, BLOCK - 1, BLOCK, BLOCK + 1, 300 * BLOCK + 5):
        image = random.Random(size).randbytes(size)
        assert digest(size, [Data(0, image)]) == image_digest(image)
        assert digest(size, [Data(at, image[at : at + 512]) for at in range(0, size, 512)]) == image_digest(
            image
        )


def test_asking_for_the_digest_changes_nothing() -> None:
    image = random.Random(5).randbytes(3 * BLOCK)
    result = ImageDigest(len(image))
    for at in range(0, len(image), 1000):
        result.update(Data(at, image[at : at + 1000]))
        seen = image[: at + 1000].ljust(len(image), b"\0")
        assert result.hexdigest() == image_digest(seen)


@pytest.mark.parametrize(
    "records",
    [[Data(5, b"abc"), Data(7, b"x")], [Zero(5, 3), Data(4, b"x")], [Data(99, b"ab")], [Zero(0, 101)]],
)
def test_the_digest_takes_ascending_records_inside_the_image(records: list[Record]) -> None:
    with pytest.raises(StreamError, match="ascending records inside 100 bytes") as caught:
        digest(100, records)
    assert caught.value.details["image_offset"] == records[-1].offset


@given(images())
def test_a_raw_file_is_the_image(case: tuple[bytes, list[list[Record]]]) -> None:
    image, cuts = case
    for records, file in zip(cuts, (io.BytesIO(), HalfWriter())):
        count()
        write_raw(sparsify(records), len(image), file)
        # A file in memory does not grow when truncated to more than it has; a file on disk does.
        assert file.getvalue().ljust(len(image), b"\0") == image


def test_a_raw_file_is_sparse_and_has_its_size(tmp_path: t.Any) -> None:
    size = 1 << 30
    with open(tmp_path / "image", "xb") as file:
        write_raw([Zero(0, 1 << 20), Data(1 << 20, X), Zero(size - 5, 5)], size, file)
    stat = (tmp_path / "image").stat()
    assert stat.st_size == size
    assert stat.st_blocks * 512 <= 1 << 20


def test_a_raw_file_that_is_not_empty_stays_as_it_is() -> None:
    file = io.BytesIO(b"something")
    with pytest.raises(StreamError, match="not empty"):
        write_raw([Zero(0, 4)], 4, file)
    assert file.getvalue() == b"something"


def test_a_record_beyond_the_image_is_not_written() -> None:
    file = io.BytesIO()
    with pytest.raises(StreamError, match="beyond the end of the image at 4"):
        write_raw([Data(0, b"ab"), Data(3, b"cd")], 4, file)
    assert file.getvalue() == b"ab"
