# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proof by reading back: every damage to an archive is found, and nothing that could not be read is called damage."""

from __future__ import annotations

import dataclasses
import errno
import os
import pathlib
import random
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.names import archive_name
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.publish import ArchiveWriter
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.verify import (
    Verified,
    hash_archive,
    open_stream,
    verify_archive,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import ArchiveError
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Archive
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._archive import (
    archive_samples as samples,
)

COMPRESSIONS = ["zstd", "gzip", "none"]


def read_all(directory: pathlib.Path, archive: Archive, size: int = 1 << 16) -> bytes:
    with open_stream(str(directory), archive) as stream:
        return b"".join(iter(lambda: stream.read(size), b""))


def publish_bytes(directory: pathlib.Path, data: bytes, compression: str = "zstd") -> Archive:
    """Publish *data*, whatever it is, as the full of day 1."""
    with ArchiveWriter(str(directory), archive_name(samples.snapshot(1), None, compression)) as writer:
        writer.write(data)
        writer.seal(samples.origin(1))
        return writer.publish()


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_good_archive(tmp_path: pathlib.Path, compression: str) -> None:
    archive = samples.publish(tmp_path, 2, 1, compression)
    hash_archive(str(tmp_path), archive)
    verified = verify_archive(str(tmp_path), archive)
    assert verified == Verified(3, 65536 + 5000, 8192, archive.stream_bytes, archive.stored_bytes)
    assert verified.stored_bytes == os.path.getsize(tmp_path / archive.file)


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("size", [1, 17, 4096, 1 << 22])
def test_the_raw_stream(tmp_path: pathlib.Path, compression: str, size: int) -> None:
    archive = samples.publish(tmp_path, 1, compression=compression)
    assert read_all(tmp_path, archive, size) == samples.stream(1)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_flipped_bit_is_found_wherever_it_is(
    tmp_path: pathlib.Path, compression: str, record_property: t.Callable[[str, object], None]
) -> None:
    archive = samples.publish(tmp_path, 1, compression=compression)
    path = tmp_path / archive.file
    good = path.read_bytes()
    edges = [*range(40), *range(len(good) - 40, len(good))]
    places = edges + random.Random(1).sample(range(len(good)), 60)
    for place in places:
        path.write_bytes(good)
        samples.flip(path, place, place % 8)
        for check in (hash_archive, verify_archive):
            with pytest.raises(ArchiveError, match="damaged") as caught:
                check(str(tmp_path), archive)
            assert caught.value.details["kind"] == "damaged"
            assert archive.file in caught.value.message
        with pytest.raises(ArchiveError):
            read_all(tmp_path, archive)
    record_property("cases", len(places))


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("change", [-1, -1000, -70_000, 1, 4096])
def test_a_wrong_length_is_found(tmp_path: pathlib.Path, compression: str, change: int) -> None:
    archive = samples.publish(tmp_path, 1, compression=compression)
    path = tmp_path / archive.file
    os.truncate(path, max(0, archive.stored_bytes + change))
    for check in (hash_archive, verify_archive):
        with pytest.raises(ArchiveError, match="damaged"):
            check(str(tmp_path), archive)
    with pytest.raises(ArchiveError, match="damaged"):
        read_all(tmp_path, archive)


def test_bytes_of_another_archive_are_found(tmp_path: pathlib.Path) -> None:
    first, second = samples.publish(tmp_path, 2, 1), samples.publish(tmp_path, 3, 2)
    os.replace(tmp_path / second.file, tmp_path / first.file)
    with pytest.raises(ArchiveError):
        verify_archive(str(tmp_path), first)


@pytest.mark.parametrize(
    "changes",
    [
        {"to": samples.state(3)},
        {"base": samples.state(3)},
        {"base": None},
        {"to": samples.state(2, samples.SIZE + 1)},
        {"stream_bytes": 5},
        {"stream_sha256": "0" * 64},
        {"stored_sha256": "0" * 64},
        {"stored_bytes": 5},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_manifest_that_tells_of_another_stream(tmp_path: pathlib.Path, changes: dict[str, t.Any]) -> None:
    archive = samples.publish(tmp_path, 2, 1)
    with pytest.raises(ArchiveError, match="is damaged"):
        verify_archive(str(tmp_path), dataclasses.replace(archive, **changes))


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: data[:-1], "cut short"),
        (lambda data: data + b"e", "goes on after its end"),
        (lambda data: data[:-1] + b"q", "unknown tag"),
        (lambda data: b"rbd diff v2\n" + data[12:], "v1"),
        (lambda data: b"", "cut short"),
    ],
    ids=["no end", "after the end", "unknown tag", "magic", "empty"],
)
def test_a_stream_that_was_damaged_before_it_was_stored(
    tmp_path: pathlib.Path, compression: str, damage: t.Callable[[bytes], bytes], words: str
) -> None:
    archive = publish_bytes(tmp_path, damage(samples.stream(1)), compression)
    hash_archive(str(tmp_path), archive)
    with pytest.raises(ArchiveError, match=words) as caught:
        verify_archive(str(tmp_path), archive)
    assert archive.file in caught.value.message
    assert caught.value.details["kind"] == "damaged"


def test_a_missing_archive_is_missing(tmp_path: pathlib.Path) -> None:
    archive = samples.publish(tmp_path, 1)
    os.unlink(tmp_path / archive.file)
    for check in (hash_archive, verify_archive):
        with pytest.raises(ArchiveError) as caught:
            check(str(tmp_path), archive)
        assert caught.value.details["kind"] == "missing"


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE])
def test_what_cannot_be_read_is_not_called_damaged(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    # fault injection: the disk fails in the middle of the file
    archive = samples.publish(tmp_path, 1, compression="none")
    read, left = os.read, [2]

    def fail(descriptor: int, size: int) -> bytes:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(number, os.strerror(number))
        return read(descriptor, min(size, 1000))

    for check in (hash_archive, verify_archive):
        left[0] = 2
        monkeypatch.setattr(os, "read", fail)
        with pytest.raises(ArchiveError, match="no proof of damage") as caught:
            check(str(tmp_path), archive)
        monkeypatch.undo()
        assert caught.value.details["kind"] == "unreadable"


@pytest.mark.parametrize("place", [2, 5000])
def test_files_are_closed_whatever_happens(tmp_path: pathlib.Path, place: int) -> None:
    archive = samples.publish(tmp_path, 1)
    other = publish_bytes(tmp_path, b"no diff stream", "none")
    before = len(os.listdir("/proc/self/fd"))
    read_all(tmp_path, archive)
    samples.flip(tmp_path / archive.file, place)
    for check in (hash_archive, verify_archive, lambda _path, archive: read_all(tmp_path, archive)):
        with pytest.raises(ArchiveError):
            check(str(tmp_path), archive)
    with pytest.raises(ArchiveError):
        verify_archive(str(tmp_path), other)
    assert len(os.listdir("/proc/self/fd")) == before
