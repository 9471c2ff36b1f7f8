# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make one archive out of those on disk: nothing is read from Ceph."""

from __future__ import annotations

import contextlib
import datetime as dt
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.manifest import Origin
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.names import archive_name
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.problems import DAMAGED, REFUSED
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.proof import load_proof
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.publish import ArchiveWriter
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.verify import (
    open_stream,
    verify_archive,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.volume_directory import VolumeDirectory
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.digest import ImageDigest
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.merge import merge
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.reader import (
    DiffReader,
    check_header,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.writer import DiffWriter
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import ArchiveError, StreamError
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Archive, Identity, Volume
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.remaking import Remake
from ansible_collections.rbd_backup.gfs.plugins.module_utils._version import VERSION


class Merger:
    """Merges archives of one volume, whose directory is locked by the caller."""

    def __init__(
        self, volume: Volume, identity: Identity, directory: VolumeDirectory, options: t.Mapping[str, t.Any]
    ) -> None:
        self._volume = volume
        self._identity = identity
        self._directory = directory
        self._compression = options["compression"]
        self._level = options["compression_level"]
        self._threads = options["compression_threads"]
        self._prefix = options["prefix"]

    def write(self, remake: Remake) -> Archive:
        """Merge the inputs of *remake*, each proved in the same pass, and publish the archive once it is proved itself.

        Raises ArchiveError, with the kind DAMAGED where an input is not what was recorded; nothing is published then.
        """
        started = dt.datetime.now(dt.timezone.utc)
        base = remake.base.snapshot if remake.base else None
        file = archive_name(remake.to.snapshot, base, self._compression)
        self._refuse_another(remake, file)
        with ArchiveWriter(self._directory.path, file, self._level, self._threads) as writer:
            image_digest = self._merge(remake, writer)
            archive = writer.seal(
                Origin(
                    identity=self._identity,
                    spec=self._volume.spec,
                    to=remake.to,
                    base=remake.base,
                    reason=remake.reason,
                    started=started,
                    finished=dt.datetime.now(dt.timezone.utc),
                    tool_version=VERSION,
                    ceph_version="",
                    image_digest=image_digest,
                )
            )
            verify_archive(self._directory.path, archive, writer.temporary)
            writer.publish()
        self._directory.remove_superseded(archive)
        return archive

    def _merge(self, remake: Remake, writer: ArchiveWriter) -> str | None:
        """Bring the merged stream into the archive. Returns the image digest of a full."""
        digest = None if remake.base else ImageDigest(remake.to.size)
        diff = DiffWriter(writer.write)
        at = 0
        try:
            with contextlib.ExitStack() as stack:
                readers: list[DiffReader] = []
                for archive in remake.inputs:
                    at = len(readers)
                    reader = DiffReader(stack.enter_context(open_stream(self._directory.path, archive)))
                    base = archive.base.snapshot if archive.base else None
                    check_header(reader.header, base, archive.to.snapshot, archive.to.size)
                    readers.append(reader)
                merged = merge(readers)
                diff.header(merged.header)
                for record in merged.records:
                    if digest:
                        digest.update(record)
                    diff.record(record)
                diff.end()
        except StreamError as error:
            damaged = remake.inputs[error.details.get("input", at)]
            raise ArchiveError(
                f"Archive {self._directory.path_of(damaged)} is damaged: {error.message} Nothing was changed.",
                kind=DAMAGED,
                file=damaged.file,
            ) from error
        return self._compared(digest.hexdigest(), remake) if digest else None

    def _compared(self, digest: str, remake: Remake) -> str:
        """Hold the image digest of a full against the one that a restore or an export has given before."""
        recorded = load_proof(self._directory.path).image_digest(remake.to)
        if recorded not in (None, digest):
            raise ArchiveError(
                f"The archives of {self._directory} lead to an image with digest {digest}, and on record for "
                f"{remake.to.snapshot} is {recorded}: they are not what was backed up. Nothing was changed.",
                kind=DAMAGED,
            )
        return digest

    def _refuse_another(self, remake: Remake, file: str) -> None:
        """Refuse to take the place of a good archive of another snapshot that had the same name."""
        for archive in self._directory.archives(self._prefix).archives:
            if archive.file == file and (archive.to, archive.base) != (remake.to, remake.base):
                raise ArchiveError(
                    f"Restore point {remake.to.snapshot} of volume {self._volume} was not merged: "
                    f"{self._directory.path_of(archive)} is a good archive of another snapshot of that name (id "
                    f"{archive.to.snapshot_id}). It was left untouched. Move it out of the backup set if nobody needs "
                    "it.",
                    kind=REFUSED,
                    file=file,
                )
