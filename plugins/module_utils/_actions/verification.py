# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verify one volume: what is to be read, reading it, and what it proves."""

from __future__ import annotations

import dataclasses
import datetime as dt
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.each_volume import describe
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.live_snapshot import LiveSnapshot
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.subjects import Subject
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.chain import joined_by_name
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.inventory import Inventory
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.lock import VolumeLock
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.points import (
    Point,
    known_points,
    why_lost,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.problems import (
    DAMAGED,
    UNREADABLE,
    Problem,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.proof import (
    Proof,
    load_proof,
    save_proof,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.replay import paths, replay
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.verify import verify_archive
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.volume_directory import VolumeDirectory
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import (
    ArchiveError,
    CephError,
    KubernetesError,
    LockedError,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Archive
from ansible_collections.rbd_backup.gfs.plugins.module_utils._names import format_utc


@dataclasses.dataclass
class Verification:
    """The verification of one volume.

    ``chosen`` are the restore points to be proved, ``everything``: also the archives that no chain needs. ``live``
    are those of them that are to be compared with their snapshots, by name; ``gone`` those that should be and whose
    snapshot is not in Ceph; ``rebuilt`` are the archives whose manifest was made again. The rest is what came of it:
    ``compared`` were held against their snapshots, and ``equal`` were found to be the same.
    """

    subject: Subject
    directory: VolumeDirectory
    prefix: str
    inventory: Inventory
    proof: Proof
    chosen: set[str] = dataclasses.field(default_factory=set)
    everything: bool = False
    live: dict[str, LiveSnapshot] = dataclasses.field(default_factory=dict)
    gone: tuple[str, ...] = ()
    hashed: set[str] = dataclasses.field(default_factory=set)
    digests: dict[str, str] = dataclasses.field(default_factory=dict)
    compared: set[str] = dataclasses.field(default_factory=set)
    equal: set[str] = dataclasses.field(default_factory=set)
    differing: dict[str, Problem] = dataclasses.field(default_factory=dict)
    unrecorded: str | None = None
    unprotected: str | None = None
    rebuilt: tuple[str, ...] = ()

    @classmethod
    def begin(cls, subject: Subject, directory: VolumeDirectory, prefix: str) -> Verification:
        """Look at the directory; nothing is chosen yet. Raises ArchiveError."""
        proof = load_proof(directory.path)
        return cls(subject, directory, prefix, proof.identify(directory.archives(prefix)), proof)

    def look_again(self) -> None:
        """Look at the directory once it is protected: a consolidation may have removed archives since. Raises
        ArchiveError."""
        self.inventory = self.proof.identify(self.directory.archives(self.prefix))
        self.chosen &= {point.snapshot for point in self.points}

    @property
    def points(self) -> tuple[Point, ...]:
        """All restore points, with the chains over what is not known to be damaged."""
        return known_points(self.inventory, self.prefix)

    def choose_everything(self) -> None:
        """Choose all restore points and all archives."""
        self.chosen = {point.snapshot for point in self.points}
        self.everything = True

    def to_read(self) -> tuple[Archive, ...]:
        """The archives that are to be read."""
        if self.everything:
            return self.inventory.archives
        chains = [point.chain or () for point in self.points if point.snapshot in self.chosen]
        return tuple({archive.file: archive for chain in chains for archive in chain}.values())

    def since(self) -> tuple[dt.datetime, bool] | None:
        """Since when the restore point that is longest without a proof is without one, and whether that is when it was
        last proved; it never was, otherwise. None when there is none to prove."""
        proofs = [
            (point.time, self.proof.replayed_at(point.chain[-1].to)) for point in self.points if point.chain
        ]
        return min(((proved or time, proved is not None) for time, proved in proofs), default=None)

    def read(self) -> None:
        """Read what is to be read, each archive once, unless one of its chain is found damaged."""
        before = self.to_read()
        while self._replay_once():
            pass
        for archive in before:
            if archive in self.inventory.archives and archive.file not in self.hashed:
                self._verify(archive)
        for point in self.points:
            if point.chain and point.snapshot in self.digests:
                self._judge(point, point.chain)

    def _replay_once(self) -> bool:
        """Replay what is chosen; return whether damage was found on the way, so that chains are others now."""
        chains = [
            point.chain
            for point in self.points
            if point.chain and point.snapshot in self.chosen and point.snapshot not in self.digests
        ]
        for chain, wanted in paths(chains):
            try:
                self.digests.update(replay(self.directory.path, chain, wanted))
            except ArchiveError as error:
                self._note(error, chain)
                return True
            self.hashed |= {archive.file for archive in chain}
        return False

    def _verify(self, archive: Archive) -> None:
        try:
            verify_archive(self.directory.path, archive)
            self.hashed.add(archive.file)
        except ArchiveError as error:
            self._note(error, (archive,))

    def _note(self, error: ArchiveError, chain: t.Sequence[Archive]) -> None:
        """Note that an archive of *chain* cannot be used."""
        names = {archive.file for archive in chain}
        place = str(error.details.get("file") or error.details.get("path") or "").rpartition("/")[2]
        if place not in names:
            raise error
        self.inventory = self.inventory.without([Problem.of(place, error)])

    def _judge(self, point: Point, chain: tuple[Archive, ...]) -> None:
        """Hold the image digest of a restore point against what is on record, and against its snapshot."""
        found, last = self.digests[point.snapshot], chain[-1]
        recorded = {last.image_digest, self.proof.image_digest(last.to)} - {None, found}
        if recorded:
            self.differing[point.snapshot] = Problem(
                last.file,
                f"The archives of {point.snapshot} lead to an image with digest {found}, and on record is "
                f"{', '.join(sorted(filter(None, recorded)))}: they are not what was backed up.",
                DAMAGED,
            )
        live = self.live.get(point.snapshot)
        if live is None or recorded:
            return
        try:
            same = live.digest() == found
            self.compared.add(point.snapshot)
            if same:
                self.equal.add(point.snapshot)
                return
            offset, file = live.first_difference(self.directory.path, chain)
        except (CephError, KubernetesError) as error:
            self.differing[point.snapshot] = Problem(last.file, describe(error), UNREADABLE)
            return
        self.differing[point.snapshot] = Problem(
            file,
            f"Restore point {point.snapshot} is not what its live snapshot is: the images differ from byte {offset} of "
            f"the image on, which archive {file} speaks of. Every archive is what its manifest says. Nothing was "
            "changed. Keep the snapshot, and report this as a defect of rbd_backup.gfs or of Ceph.",
            DAMAGED,
            offset,
        )

    def record(self, now: dt.datetime) -> None:
        """Note in proof.json what was proved, where that is possible now."""
        try:
            with VolumeLock(self.directory.path):
                self.directory.check_still_there()
                proof = load_proof(self.directory.path)
                for archive in self.inventory.archives:
                    if archive.file in self.hashed:
                        proof.record_hashed(archive, now)
                for problem in self.inventory.problems:
                    if problem.kind != UNREADABLE:
                        proof.forget_hashed(problem.file)
                for point in self.points:
                    if point.chain and point.snapshot in set(self.digests) - set(self.differing):
                        to = point.chain[-1].to
                        if point.snapshot in self.unproved():
                            # that it was read is noted, and no later run takes its digest for that of the snapshot
                            to = dataclasses.replace(to, snapshot_id=None)
                        proof.record_replayed(to, self.digests[point.snapshot], now)
                    if point.chain and point.snapshot in self.equal:
                        proof.record_compared(point.chain, self.live[point.snapshot].snapshot.id, now)
                save_proof(self.directory.path, proof)
        except (ArchiveError, LockedError) as error:
            self.unrecorded = error.message

    def nothing_compared(self) -> bool:
        """Whether restore points should have been compared and none of them has a snapshot in Ceph."""
        return bool(self.gone) and not self.live

    def defects(self) -> list[Problem]:
        """All that is wrong, each once."""
        found = [*self.inventory.problems, *self.differing.values()]
        for point in self.points:
            if point.chain is None:
                found += why_lost(self.inventory, point.snapshot, self.prefix)
        return list(dict.fromkeys(found))

    def unproved(self) -> dict[str, tuple[str, ...]]:
        """The restore points of which nothing shows, nor will show, that their chains are the right ones, and where
        these are joined by name alone. Those of ``live`` are proved by Ceph, or found to differ."""
        return {
            point.snapshot: joins
            for point in self.points
            for joins in [joined_by_name(point.chain or ())]
            if joins
            and point.chain
            and point.snapshot in self.chosen - set(self.live) - set(self.differing)
            and not self.proof.image_digest(point.chain[-1].to)
        }

    def lost(self) -> list[str]:
        """The restore points that cannot be restored, or not to what was backed up."""
        return [
            point.snapshot
            for point in self.points
            if point.chain is None
            or (point.snapshot in self.differing and self.differing[point.snapshot].kind == DAMAGED)
        ]

    def to_dict(self) -> dict[str, t.Any]:
        """The verification as data."""
        volume = self.subject.volume
        return {
            "name": str(volume),
            "namespace": volume.namespace,
            "claim": volume.claim,
            "image": str(volume.spec),
            "image_id": self.directory.identity.image_id,
            "directory": self.directory.path,
            "archives": len(self.to_read()),
            "archive_bytes": sum(archive.stored_bytes for archive in self.to_read()),
            "ceph_bytes": sum(live.snapshot.size for live in self.live.values()),
            "restore_points": [
                self._point(point)
                for point in self.points
                if point.snapshot in self.chosen or not point.chain
            ],
            "compared": len(self.compared),
            "rebuilt": list(self.rebuilt),
            "not_compared": list(self.gone),
            "recorded": bool(self.hashed) and self.unrecorded is None,
        }

    def _point(self, point: Point) -> dict[str, t.Any]:
        differing = self.differing.get(point.snapshot)
        if point.chain is None:
            kinds = {problem.kind for problem in why_lost(self.inventory, point.snapshot, self.prefix)}
            state = "unknown" if kinds == {UNREADABLE} else "lost"
        elif differing:
            state = "differs" if differing.kind == DAMAGED else "unknown"
        elif point.snapshot in self.unproved():
            state = "unproved"
        else:
            state = "proved" if point.snapshot in self.digests else "planned"
        return {
            "name": point.snapshot,
            "time": format_utc(point.time),
            "chain": len(point.chain) if point.chain else None,
            "result": state,
            "image_digest": self.digests.get(point.snapshot),
            "compared": point.snapshot in self.equal,
        }
