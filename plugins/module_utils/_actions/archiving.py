# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Export one snapshot of a volume into one archive, and publish it only if everything agrees."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.deadline import Deadline
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.publishing import Draft, Publisher
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.room import Room
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.failures import broke
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.rbd import RbdClient
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.reader import (
    DiffReader,
    check_header,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.sparsify import sparsify
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import (
    BackupError,
    CephError,
    StreamError,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Archive, Volume
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.backup import Export, state_of

PAUSES = (5.0, 20.0, 60.0)
"""Seconds before the second, the third and every later attempt: a pod that is replaced needs some time."""


class Cancelled(BackupError):
    """The time of the run was over in the middle of an export; nothing of it was published."""


@dataclasses.dataclass(frozen=True)
class Written:
    """An archive that was published, and how it came about.

    ``read_bytes`` is what rbd exported, ``seconds`` the time that it took with all *attempts*.
    """

    volume: Volume
    export: Export
    archive: Archive
    path: str
    read_bytes: int
    seconds: float
    attempts: int
    estimated_bytes: int | None

    def to_dict(self) -> dict[str, t.Any]:
        """The archive as a result shows it."""
        return {
            **planned(self.volume, self.export, self.estimated_bytes),
            "path": self.path,
            "attempts": self.attempts,
            **figures(self.read_bytes, self.archive.stream_bytes, self.archive.stored_bytes, self.seconds),
        }


def figures(read: int, stream: int, stored: int, seconds: float) -> dict[str, t.Any]:
    """What was read and stored in *seconds*, as a result shows it. All in bytes."""
    return {
        "read_bytes": read,
        "stream_bytes": stream,
        "stored_bytes": stored,
        "ratio": round(read / stored, 2) if stored else None,
        "seconds": round(seconds, 3),
        "mb_per_second": round(read / 1e6 / seconds, 2) if seconds else None,
    }


def planned(volume: Volume, export: Export, estimated_bytes: int | None) -> dict[str, t.Any]:
    """An export that is still to be done, as a result shows it."""
    return {
        "namespace": volume.namespace,
        "claim": volume.claim,
        **export.to_dict(),
        "estimated_bytes": estimated_bytes,
    }


class Exporter:
    """Makes archives of one volume from Ceph. *retries*: how often a stream that breaks is exported again."""

    def __init__(
        self,
        ceph: RbdClient,
        publisher: Publisher,
        retries: int = 2,
        deadline: Deadline | None = None,
        room: Room | None = None,
    ) -> None:
        """Without a *deadline* an export takes as long as it takes; without a *room* nobody looks for room."""
        self._ceph = ceph
        self._publisher = publisher
        self._volume = publisher.volume
        self._retries = retries
        self._deadline = deadline
        self._room = room

    def write(
        self,
        export: Export,
        prove: bool = False,
        supersedes: t.Collection[str] = (),
        estimated_bytes: int | None = None,
    ) -> Written:
        """Export *export* and publish the archive; *prove* and *supersedes* are as in :meth:`publishing.Draft.publish`.

        *estimated_bytes* is the room to look for. A stream that breaks is exported again from its beginning. Raises
        CephError, StreamError or ArchiveError, LockedError when the directory's lock was lost, and Cancelled when the
        time is over; nothing is published then.
        """
        clock = time.monotonic()
        attempt = 1
        while True:
            try:
                archive, read_bytes = self._attempt(export, prove, supersedes, estimated_bytes)
            except (CephError, StreamError) as error:
                if self._deadline and self._deadline.cancelled:
                    raise self._cancelled(export) from error
                if attempt > self._retries or not (isinstance(error, StreamError) or broke(error)):
                    raise _after(attempt, error) from error
                self._pause(PAUSES[min(attempt, len(PAUSES)) - 1])
                if self._deadline and self._deadline.stopped:
                    raise _after(attempt, error) from error
                attempt += 1
            else:
                path, seconds = self._publisher.directory.path_of(archive), time.monotonic() - clock
                return Written(
                    self._volume, export, archive, path, read_bytes, seconds, attempt, estimated_bytes
                )

    def _attempt(
        self, export: Export, prove: bool, supersedes: t.Collection[str], estimated_bytes: int | None
    ) -> tuple[Archive, int]:
        """Export from the beginning and publish. Returns the archive and the bytes that rbd exported."""
        base = state_of(export.base) if export.base else None
        with contextlib.ExitStack() as stack:
            draft = stack.enter_context(self._publisher.begin(state_of(export.to), base, export.reason))
            if self._room:
                what = f"the archive of snapshot {export.to.name} of volume {self._volume}"
                path = self._publisher.directory.path
                stack.enter_context(self._room.hold(path, estimated_bytes, what, lambda: draft.stored_bytes))
            read_bytes = self._carry(export, draft)
            self._check_ids(export)
            return draft.publish(self._ceph.version(), prove, supersedes), read_bytes

    def _pause(self, seconds: float) -> None:
        time.sleep(min(seconds, self._deadline.remaining) if self._deadline else seconds)

    def _cancelled(self, export: Export) -> Cancelled:
        return Cancelled(
            f"The export of snapshot {export.to.name} of volume {self._volume} was cancelled, because the time of this "
            "run is over. Nothing of it was published; the snapshot waits in Ceph for the next run."
        )

    def _carry(self, export: Export, draft: Draft) -> int:
        """Bring the stream from Ceph into the archive. Returns the bytes that rbd exported."""
        base = export.base.name if export.base else None
        remaining = self._deadline.remaining if self._deadline else math.inf
        with self._ceph.export_diff(self._volume.spec, export.to.name, base, remaining) as stream:
            reader = DiffReader(stream)
            check_header(reader.header, base, export.to.name, export.to.size)
            draft.write(reader.header, sparsify(reader))
            return stream.finish().bytes

    def _check_ids(self, export: Export) -> None:
        """Demand that image and snapshots still are those that the plan read before the export: a snapshot that is
        removed in mid-export gives a stream that ends well and parses, but is not whole."""
        found = {snapshot.id: snapshot for snapshot in self._ceph.snapshots(self._volume.spec)}
        for wanted in (export.to, export.base):
            if wanted is None:
                continue
            if found.get(wanted.id) is None or state_of(found[wanted.id]) != state_of(wanted):
                raise CephError(
                    f"Snapshot {wanted.name} (id {wanted.id}) of volume {self._volume} was removed or replaced while "
                    "it was exported. No archive was published; the next run plans anew."
                )
        if self._ceph.info(self._volume.spec).id != self._publisher.identity.image_id:
            raise CephError(
                f"The image of volume {self._volume} was replaced by another one while it was exported. No archive was "
                "published; resolve again."
            )


def _after(attempts: int, error: BackupError) -> BackupError:
    """The *error* of the last of several attempts."""
    if attempts == 1:
        return error
    return type(error)(f"{error.message} This was attempt {attempts}.", **error.details)
