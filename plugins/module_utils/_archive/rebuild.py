# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Making a lost manifest again from its archive.

A stream holds the names of its snapshots and its size, and no ids: a rebuilt manifest is good for a restore, and no
base for a diff until the restore point has been compared with Ceph. All of this happens under the volume's lock.
"""

from __future__ import annotations

import datetime as dt
import os

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive import names
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.files import (
    atomic_write_json,
    os_errors,
    read_json,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.inventory import Inventory
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.manifest import Manifest, Origin
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.problems import (
    DAMAGED,
    MANIFEST,
    MISSING,
    UNWRITABLE,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.publish import move_aside
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.verify import RawStream
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.volume_directory import VolumeDirectory
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.reader import DiffReader
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.records import Header
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import ArchiveError, StreamError
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec, State

_UNTOUCHED = "Its manifest was not rebuilt, and nothing was changed."
_ASIDE = "A damaged manifest was kept as '.bad-<time>'; the archive was left untouched. Run again."


def lost_manifests(directory: VolumeDirectory, inventory: Inventory) -> tuple[str, ...]:
    """Return the archives whose manifest is missing or damaged, oldest first; not those whose manifest is another's."""
    damaged = [
        problem.file
        for problem in inventory.problems
        if problem.kind == MANIFEST and _cannot_be_read(os.path.join(directory.path, problem.file))
    ]
    return tuple(sorted([*damaged, *inventory.unpublished]))


def rebuild_manifest(
    directory: VolumeDirectory, prefix: str, file: str, now: dt.datetime, version: str
) -> None:
    """Read the archive *file* to its end and publish a manifest of what was found, marked as rebuilt.

    *version* is that of this collection. A damaged manifest is kept as ``.bad-<time>``. Raises ArchiveError when the
    archive is damaged, is not what its name says, or when the archive that it stands on is not recorded.
    """
    path = os.path.join(directory.path, file)
    name = names.parse_archive_name(prefix, file)
    if name is None:
        raise ArchiveError(f"{path} is not the name of an archive. {_UNTOUCHED}", kind=DAMAGED, file=file)
    base = _base(directory, prefix, file, name.base) if name.base else None
    with RawStream(path, name.compression) as stream:
        header = _read_to_its_end(stream, path, file)
    if (header.from_snapshot, header.to_snapshot) != (name.base, name.to):
        raise ArchiveError(
            f"The stream in archive {path} leads from {header.from_snapshot} to {header.to_snapshot}, which is not "
            f"what its name says. {_UNTOUCHED}",
            kind=DAMAGED,
            file=file,
        )
    (stream_bytes, stream_sha256), (stored_bytes, stored_sha256) = stream.found(), stream.stored.found()
    was = directory.description["volume"]
    manifest = Manifest(
        file=file,
        compression=name.compression,
        origin=Origin(
            identity=directory.identity,
            spec=ImageSpec(was["pool"], was["rados_namespace"], was["image"]),
            to=State(name.to, None, header.size),
            base=base,
            reason="the manifest was lost and rebuilt from the archive",
            started=now,
            finished=now,
            tool_version=version,
            ceph_version="",
        ),
        stream_bytes=stream_bytes,
        stream_sha256=stream_sha256,
        stored_bytes=stored_bytes,
        stored_sha256=stored_sha256,
        rebuilt=True,
    )
    with os_errors("move aside", names.manifest_name(path), UNWRITABLE, _UNTOUCHED):
        move_aside(names.manifest_name(path))
    atomic_write_json(names.manifest_name(path), manifest.to_json(), _ASIDE)


def _cannot_be_read(path: str) -> bool:
    manifest = names.manifest_name(path)
    try:
        Manifest.from_json(read_json(manifest), manifest)
    except ArchiveError as error:
        return bool(error.details.get("kind") == DAMAGED) and os.path.lexists(path)
    return False


def _base(directory: VolumeDirectory, prefix: str, file: str, snapshot: str) -> State:
    """The state that a diff stands on; its size is not in the stream but known from what leads there."""
    sizes = {
        archive.to.size for archive in directory.archives(prefix).archives if archive.to.snapshot == snapshot
    }
    if len(sizes) != 1:
        raise ArchiveError(
            f"Archive {file} in {directory.path} stands on {snapshot}, and no archive that is recorded leads there. "
            f"{_UNTOUCHED}",
            kind=MISSING,
            file=file,
        )
    return State(snapshot, None, sizes.pop())


def _read_to_its_end(stream: RawStream, path: str, file: str) -> Header:
    """Read all of it strictly, and return the header of the stream. Raises ArchiveError."""
    try:
        reader = DiffReader(stream)
        for _record in reader:
            pass
        return reader.header
    except StreamError as error:
        raise ArchiveError(
            f"Archive {path} is damaged: {error.message} {_UNTOUCHED}",
            kind=DAMAGED,
            file=file,
            byte=error.details.get("offset"),
        ) from error
