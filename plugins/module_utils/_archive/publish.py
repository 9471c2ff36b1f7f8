# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing an archive so that a reader never sees half of one.

Everything that needs room is written and made durable under temporary names first. Publishing is then only:
rename the archive, make the directory durable, rename the manifest (the commit record), make the directory
durable. What was published under that name before is first renamed ``<name>.bad-<time>``, its manifest first,
so that no manifest ever stands beside bytes that are not its own. All of this happens under the lock of the
volume.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import os
import time
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.codec import compressor
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.conveyor import Conveyor
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.files import (
    open_temporary,
    os_errors,
    remove_if_there,
    sync_directory,
    write_all,
    write_json_temporary,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.held import check_held
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.manifest import Manifest, Origin
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.names import (
    bad_name,
    compression_of,
    manifest_name,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.problems import UNWRITABLE
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import InvalidInput
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Archive

_PIECE = 1 << 20
"""Smaller ones are hashed and compressed together, in bytes: few calls, each of which lets the other threads work."""

_SETTLED = 8 << 20
"""After so many bytes the system is asked to begin writing them out, so that the last fsync has little left to do."""

_CHECKED = 10.0
"""After so many seconds of writing it is looked whether the directory's lock is still ours."""

_UNTOUCHED = "The archive was not published; everything published before was left untouched."
_HALF_WAY = (
    "The archive does not count as published, and nothing was removed: what stood there before keeps its "
    "name or has it with '.bad-<time>' behind it. Run again."
)


class ArchiveWriter:
    """Takes a raw stream, and publishes it as one archive: ``write`` ..., ``seal``, ``publish``.

    A context manager: leaving it without having published removes what was written. Every method raises
    ArchiveError (UNWRITABLE) when the file system refuses. *directory* is the volume's, *file* the archive's
    name; *level* and *threads* are those of :func:`codec.compressor`.
    """

    def __init__(self, directory: str, file: str, level: int | None = None, threads: int | None = 0) -> None:
        self._path = os.path.join(directory, file)
        self._directory = directory
        self._file = file
        self._compression = compression_of(file)
        self._compressor = compressor(self._compression, level, threads)
        self._descriptor = -1
        self._temporaries: list[str] = []
        self._stream_sha256 = hashlib.sha256()
        self._stored_sha256 = hashlib.sha256()
        self._stream_bytes = 0
        self._stored_bytes = 0
        self._settled_bytes = 0
        self._manifest: Manifest | None = None
        # The stream is read and parsed by the caller while what came before is hashed, compressed and written.
        self._conveyor = Conveyor(self._take)
        self._piece: list[bytes] = []
        self._piece_bytes = 0
        self._checked = time.monotonic()

    def __enter__(self) -> ArchiveWriter:
        with self._errors():
            self._descriptor, temporary = open_temporary(self._path)
        self._temporaries.append(temporary)
        return self

    def __exit__(self, *_exception: object) -> None:
        self._conveyor.stop()
        try:
            self._close()
            for temporary in self._temporaries:
                remove_if_there(temporary)
        except OSError:
            # the next run removes temporaries; the error that brought us here must not be hidden by this one
            pass

    @property
    def stream_bytes(self) -> int:
        """Bytes of the raw stream that were written so far."""
        return self._stream_bytes

    @property
    def stored_bytes(self) -> int:
        """Bytes that were stored so far, which lags behind what was written."""
        return self._stored_bytes

    @property
    def temporary(self) -> str:
        """The file name under which the archive stands until it is published."""
        return os.path.basename(self._temporaries[0])

    def write(self, data: bytes) -> None:
        """Add *data* to the raw stream. What failed to be stored may be raised by a later call, or by ``seal``.

        Raises LockedError soon after the lock of the directory was lost.
        """
        self._stream_bytes += len(data)
        if len(data) >= _PIECE:
            self._hand_over()
            self._conveyor.put(data)  # alone: to join it with its small neighbours would copy it
            self._check_lock()
            return
        self._piece.append(data)
        self._piece_bytes += len(data)
        if self._piece_bytes >= _PIECE:
            self._hand_over()
            self._check_lock()

    def seal(self, origin: Origin) -> Archive:
        """End the stream and make the archive and its manifest durable under their temporary names.

        What is returned can be proved by reading :attr:`temporary` back. Raises InvalidInput when *origin*
        does not belong to the archive's name.
        """
        self._hand_over()
        self._conveyor.finish()
        self._store(self._compressor.flush())
        manifest = Manifest(
            file=self._file,
            compression=self._compression,
            origin=origin,
            stream_bytes=self._stream_bytes,
            stream_sha256=self._stream_sha256.hexdigest(),
            stored_bytes=self._stored_bytes,
            stored_sha256=self._stored_sha256.hexdigest(),
        )
        if manifest.proper_name() != self._file:
            raise InvalidInput(f"{self._path} cannot hold {origin.to} from {origin.base}. {_UNTOUCHED}")
        with self._errors():
            os.fsync(self._descriptor)
            self._close()
            self._temporaries.append(write_json_temporary(manifest_name(self._path), manifest.to_json()))
        self._manifest = manifest
        return manifest.archive()

    def publish(self) -> Archive:
        """Give the sealed archive and then its manifest their names. Returns the archive.

        Raises LockedError when the lock of the directory was lost.
        """
        if self._manifest is None:
            raise ValueError("seal() comes before publish()")
        temporary, manifest_temporary = self._temporaries
        with self._errors(_HALF_WAY):
            moved = [move_aside(manifest_name(self._path)), move_aside(self._path)]
            if any(moved):
                sync_directory(self._directory)
            check_held(self._directory)
            os.rename(temporary, self._path)
            sync_directory(self._directory)
            check_held(self._directory)
            os.rename(manifest_temporary, manifest_name(self._path))
            sync_directory(self._directory)
        self._temporaries.clear()
        return self._manifest.archive()

    def _hand_over(self) -> None:
        piece, self._piece, self._piece_bytes = self._piece, [], 0
        if piece:
            self._conveyor.put(piece[0] if len(piece) == 1 else b"".join(piece))

    def _check_lock(self) -> None:
        if time.monotonic() - self._checked >= _CHECKED:
            with self._errors():
                check_held(self._directory)
            self._checked = time.monotonic()

    def _take(self, data: bytes) -> None:
        self._stream_sha256.update(data)
        self._store(self._compressor.compress(data))

    def _store(self, data: bytes) -> None:
        if data:
            with self._errors():
                write_all(self._descriptor, data)
                self._settle(len(data))
            self._stored_sha256.update(data)
            self._stored_bytes += len(data)

    def _settle(self, count: int) -> None:
        """Keep what waits to be written small: a host's memory is not for our archive, and no fsync is to last long."""
        self._settled_bytes += count
        if self._settled_bytes >= _SETTLED:
            self._settled_bytes = 0
            with contextlib.suppress(OSError):  # an advice that is not taken is no failure
                os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _errors(self, untouched: str = _UNTOUCHED) -> t.ContextManager[None]:
        return os_errors("write archive", self._path, UNWRITABLE, untouched)


def move_aside(path: str) -> bool:
    """Rename what is published as *path* to ``<path>.bad-<time>``; return whether it was there.

    Raises OSError, and LockedError when the lock of its directory was lost.
    """
    if not os.path.lexists(path):
        return False
    now = dt.datetime.now(dt.timezone.utc)
    number = 1
    while os.path.lexists(bad_name(path, now, number)):
        number += 1
    check_held(os.path.dirname(path))
    os.rename(path, bad_name(path, now, number))
    return True
