# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading archives back: their stored bytes, their raw stream, and the proof that both are what was recorded."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.codec import decompress
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.files import open_reading, os_errors
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.names import compression_of
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.problems import DAMAGED, UNREADABLE
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.reader import (
    DiffReader,
    check_header,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.records import Data, Header, Record
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import ArchiveError, StreamError
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Archive

_Self = t.TypeVar("_Self")
_PIECE = 1024 * 1024
_ADVICE = (
    "Nothing was changed. While its snapshots exist in Ceph the archive can be exported again; restore "
    "points that need it cannot be restored until then."
)


@dataclasses.dataclass(frozen=True)
class Verified:
    """What a verified archive holds: data records and zero records, their bytes, and the bytes that were read."""

    records: int
    data_bytes: int
    zero_bytes: int
    stream_bytes: int
    stored_bytes: int


class RawStream:
    """The raw stream in an archive file, to be read like a file; a context manager.

    Counts and hashes what is read: the stored bytes and the stream. Raises ArchiveError naming the file.
    """

    def __init__(self, path: str, compression: str, called: str | None = None) -> None:
        """Open *path*; *called* is what errors name where the file has another name by then."""
        self.stored = _StoredFile(path)
        self._pieces = decompress(self.stored, compression, called or path)
        self._piece = b""
        self._used = 0
        self._sha256 = hashlib.sha256()
        self._bytes = 0

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self.stored.close()

    def read(self, size: int) -> bytes:
        """Return at most *size* bytes of the raw stream, and none only at its end."""
        if self._used == len(self._piece):
            self._used, self._piece = 0, next(self._pieces, b"")
            self._sha256.update(self._piece)
            self._bytes += len(self._piece)
        result = self._piece[self._used : self._used + size]
        self._used += len(result)
        return result

    def found(self) -> tuple[int, str]:
        """The size and SHA-256 of what was read of the stream."""
        return self._bytes, self._sha256.hexdigest()


class ArchiveStream(RawStream):
    """The raw stream of one archive, whose end proves it.

    :meth:`read` returns ``b""`` only when all stored bytes and the whole stream have proved to be what the
    manifest records: sizes and SHA-256 of both.
    """

    def __init__(self, directory: str, archive: Archive, file: str | None = None) -> None:
        """Open *archive* in *directory*; *file* is where its bytes are when it is not published yet."""
        self._archive = archive
        self._path = os.path.join(directory, archive.file)
        super().__init__(
            os.path.join(directory, file or archive.file), compression_of(archive.file), self._path
        )

    def read(self, size: int) -> bytes:
        """Return at most *size* bytes of the raw stream, and none only at its proved end."""
        result = super().read(size)
        if not result:
            self.stored.check(self._archive, self._path)
            recorded = self._archive.stream_bytes, self._archive.stream_sha256
            _compare(self._path, "the stream in it", self.found(), recorded)
        return result


def open_stream(directory: str, archive: Archive) -> ArchiveStream:
    """Open the raw stream of a published *archive*. Raises ArchiveError."""
    return ArchiveStream(directory, archive)


def hash_archive(directory: str, archive: Archive) -> None:
    """Read all stored bytes of *archive* and compare size and SHA-256 with the manifest. Raises ArchiveError."""
    path = os.path.join(directory, archive.file)
    stored = _StoredFile(path)
    try:
        while stored.read(_PIECE):
            pass
        stored.check(archive, path)
    finally:
        stored.close()


class ArchiveReader:
    """The records of one published archive, each defect an ArchiveError that names the file; a context manager.

    Its iteration, once, ends only when the archive has proved to be what its manifest records: stored bytes, raw
    stream, every record, and the states that it leads from and to. *file* is as in :class:`ArchiveStream`.
    """

    def __init__(self, directory: str, archive: Archive, file: str | None = None) -> None:
        self._path = os.path.join(directory, archive.file)
        self._file = archive.file
        self._stream = ArchiveStream(directory, archive, file)
        try:
            self._reader = DiffReader(self._stream)
            base = archive.base.snapshot if archive.base else None
            check_header(self._reader.header, base, archive.to.snapshot, archive.to.size)
        except StreamError as error:
            self._stream.close()
            raise self._damaged(error) from error
        except BaseException:
            self._stream.close()
            raise

    @property
    def header(self) -> Header:
        """The metadata of the stream."""
        return self._reader.header

    def __enter__(self) -> ArchiveReader:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stream.close()

    def __iter__(self) -> t.Iterator[Record]:
        try:
            yield from self._reader
        except StreamError as error:
            raise self._damaged(error) from error

    def _damaged(self, error: StreamError) -> ArchiveError:
        return ArchiveError(
            f"Archive {self._path} is damaged: {error.message} {_ADVICE}",
            kind=DAMAGED,
            file=self._file,
            byte=error.details.get("offset"),
        )


def verify_archive(directory: str, archive: Archive, file: str | None = None) -> Verified:
    """Read *archive* from disk and prove it: stored bytes, compression, raw stream, every record, and the states.

    *file* is where its bytes are when it is not published yet. Raises ArchiveError naming the archive.
    """
    records = data_bytes = zero_bytes = 0
    with ArchiveReader(directory, archive, file) as reader:
        for record in reader:
            records += 1
            if isinstance(record, Data):
                data_bytes += len(record.data)
            else:
                zero_bytes += record.length
    return Verified(records, data_bytes, zero_bytes, archive.stream_bytes, archive.stored_bytes)


class _StoredFile:
    """The stored bytes of an archive, hashed as they are read from the disk."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._sha256 = hashlib.sha256()
        self._bytes = 0
        self._descriptor = open_reading(path)
        # what was written a moment ago is still in memory: a proof must come from the disk
        os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def read(self, size: int) -> bytes:
        with os_errors(
            "read", self._path, UNREADABLE, "Nothing was changed, and this is no proof of damage."
        ):
            data = os.read(self._descriptor, size)
        self._sha256.update(data)
        self._bytes += len(data)
        return data

    def found(self) -> tuple[int, str]:
        return self._bytes, self._sha256.hexdigest()

    def check(self, archive: Archive, path: str) -> None:
        _compare(path, "the file", self.found(), (archive.stored_bytes, archive.stored_sha256))

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def _compare(path: str, what: str, found: tuple[int, str], recorded: tuple[int, str]) -> None:
    if found != recorded:
        raise ArchiveError(
            f"Archive {path} is damaged: {what} has {found[0]} bytes with SHA-256 {found[1]}, and its "
            f"manifest records {recorded[0]} bytes with SHA-256 {recorded[1]}. {_ADVICE}",
            kind=DAMAGED,
            file=os.path.basename(path),
        )
