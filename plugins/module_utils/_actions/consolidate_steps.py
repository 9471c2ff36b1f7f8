# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carry out the consolidation plan of one volume, in the order in which nothing can be lost."""

from __future__ import annotations

import datetime as dt
import time
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.archiving import Exporter
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.census import read_volume
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.consolidated import Consolidated, Means
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.merging import merge_archives
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.publishing import Publisher
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.problems import DAMAGED, MISSING
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.proof import load_proof, save_proof
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.verify import hash_archive
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.volume_directory import VolumeDirectory
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import ArchiveError
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Archive, Identity, Snapshot
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.backup import Export
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.consolidation import ConsolidationPlan
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.remaking import MERGE, REEXPORT, Remake


class Steps:
    """The steps of one volume, whose directory is locked by the caller."""

    def __init__(
        self, means: Means, done: Consolidated, identity: Identity, directory: VolumeDirectory
    ) -> None:
        self._means = means
        self._ceph = means.ceph
        self._done = done
        self._directory = directory
        self._publisher = Publisher(done.volume, identity, directory, means.options)
        self._exporter = Exporter(means.ceph, self._publisher)

    def run(self) -> None:
        """Make, prove, retire, remove. Raises BackupError; what was done until then is noted in the outcome."""
        plan = self._done.plan
        made = self._remake(plan)
        if plan.remove_archives or plan.remove_snapshots:
            self._prove(made)
            self._directory.check_removal()
            self._retire(plan.remove_snapshots)
        for archive in plan.remove_archives:
            self._directory.remove_archive(archive)
            self._done.changed = True
        # to remove snapshots may take long, and no reader needs them
        self._directory.end_removal()
        self._remove(plan.remove_snapshots)
        self._settle()

    def _remake(self, plan: ConsolidationPlan) -> list[Archive]:
        made: list[Archive] = []

        def no_longer_needed() -> int:
            return sum(remake.stored_bytes for remake in plan.remakes[: len(made)])

        with self._means.room_for(self._done, self._directory, no_longer_needed):
            for remake in plan.remakes:
                clock = time.monotonic()
                method, archive = self._make(remake)
                made.append(archive)
                self._done.changed = True
                self._done.made.append(
                    {
                        **self._done.what,
                        "snapshot": archive.to.snapshot,
                        "base": archive.base.snapshot if archive.base else None,
                        "kind": "diff" if archive.base else "full",
                        "method": method,
                        "path": self._directory.path_of(archive),
                        "stream_bytes": archive.stream_bytes,
                        "stored_bytes": archive.stored_bytes,
                        "seconds": round(time.monotonic() - clock, 3),
                    }
                )
        return made

    def _make(self, remake: Remake) -> tuple[str, Archive]:
        export = remake.export
        if remake.method == MERGE:
            try:
                return MERGE, merge_archives(self._publisher, remake)
            except ArchiveError as error:
                if error.details.get("kind") not in (DAMAGED, MISSING) or export is None:
                    raise
                self._done.damage.append(
                    f"{error.message} So the archive of {remake.to.snapshot} was exported from Ceph again."
                )
        return REEXPORT, self._exporter.write(t.cast(Export, export), prove=True).archive

    def _prove(self, made: list[Archive]) -> None:
        """Make sure that every archive that stays was read from disk and found right not long ago."""
        now = self._means.now
        proof = load_proof(self._directory.path)
        for archive in made:
            proof.record_hashed(archive, now)
        oldest = now - dt.timedelta(days=self._means.options["proof_max_age"])
        for archive in self._done.plan.chain:
            hashed_at = proof.hashed_at(archive)
            # a date of the future is of a clock that was wrong, and proves nothing
            if hashed_at is None or not oldest <= hashed_at <= now:
                proof.record_hashed(self._hash_or_export_again(archive), now)
        save_proof(self._directory.path, proof)

    def _hash_or_export_again(self, archive: Archive) -> Archive:
        try:
            hash_archive(self._directory.path, archive)
            return archive
        except ArchiveError as error:
            export = self._done.repairs.get(archive.file)
            if error.details.get("kind") != DAMAGED:
                raise
            if export is None:
                error.message += (
                    " Its snapshots are not all in Ceph any more, so that consolidation cannot export it again, and "
                    "removes nothing of this volume while it lies there. Bring it back from another copy; or move it "
                    "and its manifest out of the backup set and run the backup, which exports again what it can and "
                    "names what is lost."
                )
                raise
            # the damaged one keeps its room until this one is proved
            again = Exporter(self._ceph, self._publisher, room=self._means.room)
            written = again.write(export, prove=True, estimated_bytes=archive.stored_bytes).archive
            self._done.damage.append(f"{error.message} It was exported again.")
            self._done.changed = True
            if written.file != archive.file:  # compressed in another way by now
                self._directory.remove_archive(archive)
            return written

    def _retire(self, snapshots: t.Iterable[Snapshot]) -> None:
        proof = load_proof(self._directory.path)
        for snapshot in snapshots:
            proof.retire(snapshot.name, snapshot.id, self._means.now)
        self._done.changed |= save_proof(self._directory.path, proof)

    def _remove(self, snapshots: t.Sequence[Snapshot]) -> None:
        """Remove retired snapshots as fast as they may be; the others wait, and no backup exports them meanwhile."""
        if not snapshots:
            return
        volume = self._done.volume
        # to make archives again may have taken hours: an id counts only in the image that it was read from
        there = {(s.id, s.name) for s in read_volume(volume, self._ceph).snapshots}
        left = [snapshot for snapshot in snapshots if (snapshot.id, snapshot.name) in there]
        self._done.let_wait(*self._means.pace.remove(left, self._remove_one))

    def _remove_one(self, snapshot: Snapshot) -> None:
        self._directory.check_lock()
        self._ceph.remove_snapshot(self._done.volume.spec, snapshot.id)
        self._done.changed = True

    def _settle(self) -> None:
        """Forget the retired snapshots that are gone from Ceph, and what was proved of archives that are gone."""
        proof = load_proof(self._directory.path)
        if proof.retired:
            present = {snapshot.id for snapshot in self._ceph.snapshots(self._done.volume.spec)}
            proof.forget_retired([number for number in proof.retired if number not in present])
        proof.forget_missing(self._directory.archives(self._means.options["prefix"]).archives)
        save_proof(self._directory.path, proof)
