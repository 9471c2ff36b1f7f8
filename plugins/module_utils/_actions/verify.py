# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prove that what a backup set holds can be restored, and is what was backed up."""

from __future__ import annotations

import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.backup_set import open_set_to_read, ours
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.each_volume import (
    check_parallel,
    failure,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.environment import Environment, Outcome
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.live_snapshot import LiveSnapshot
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.subjects import (
    Subject,
    find_subjects,
    for_each_subject,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.verification import Verification
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.volumes import prove_identity
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.backup_set import BackupSet
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.lock import VolumeLock
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.names import parse_archive_name
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.problems import UNREADABLE
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.proof import load_proof, save_proof
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.readers import ReaderLock
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.rebuild import (
    lost_manifests,
    rebuild_manifest,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.volume_directory import VolumeDirectory
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import (
    ArchiveError,
    BackupError,
    InvalidInput,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Snapshot
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.sample import Candidate, due, in_turn
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.units import size
from ansible_collections.rbd_backup.gfs.plugins.module_utils._version import VERSION

_ALL = "all"


def run(environment: Environment) -> Outcome:
    """Carry out the module ``rbd_backup_verify``. Raises BackupError."""
    options = environment.options
    parallel = check_parallel(options)
    _check(options)
    fsid = environment.ceph().fsid() if options["mode"] == "deep" else None
    backup_set = open_set_to_read(options, fsid)
    scan = backup_set.scan()
    subjects = find_subjects(environment, scan)
    chosen = [item for item in subjects.chosen() if item.directory]
    never = [item.volume for item in subjects.chosen() if not item.directory]
    begin = _Begin(environment, backup_set)
    begun, failures = for_each_subject(chosen, begin, parallel)
    _refuse_unknown(options["restore_points"], begun)
    failures += [*subjects.failures, *map(_unknown_directory, subjects.problems)]
    if options["mode"] == "sample":
        _sample(environment, begun)
    done: list[Verification] = begun
    if not environment.check_mode:
        by_subject = {id(item.subject): item for item in begun}
        now = environment.now()

        def verify(subject: Subject) -> Verification:
            item = by_subject[id(subject)]
            with ReaderLock(item.directory.path) as lock:
                item.unprotected = lock.warning
                item.look_again()
                item.read()
            if item.to_read():
                item.record(now)
            return item

        done, more = for_each_subject([item.subject for item in begun], verify, parallel)
        failures += more
    accepted = options["accept_unproved"]
    failures += [
        _failure(item, accepted)
        for item in done
        if item.defects() or item.nothing_compared() or (item.unproved() and not accepted)
    ]
    volumes = [item.to_dict() for item in done]
    return Outcome(
        changed=any(item.rebuilt for item in done),
        values={
            "backup_set": backup_set.path,
            "mode": options["mode"],
            "volumes": volumes,
            "archive_bytes": sum(entry["archive_bytes"] for entry in volumes),
            "ceph_bytes": sum(entry["ceph_bytes"] for entry in volumes),
            "table": [
                *(line for item, entry in zip(done, volumes) for line in _lines(item, entry)),
                *(f"{volume}: no directory, never backed up" for volume in never),
            ],
        },
        failures=failures,
        warnings=[
            f"What was proved of {item.subject.volume} could not be noted for the next run: {item.unrecorded}"
            for item in done
            if item.unrecorded
        ]
        + [item.unprotected for item in done if item.unprotected]
        + [
            f"Of volume {item.subject.volume} these restore points were not compared, because their snapshots are not "
            f"in Ceph: {', '.join(item.gone)}."
            for item in done
            if item.gone and item.live
        ]
        + [
            f"Volume {item.subject.volume}: {_unproved(item)}"
            for item in done
            if accepted and item.unproved()
        ]
        + [f"Nothing was proved of volume {volume}: it was never backed up." for volume in never]
        + begin.refusals,
    )


class _Begin:
    """Looks at one volume and chooses what of it is to be read."""

    def __init__(self, environment: Environment, backup_set: BackupSet) -> None:
        self._environment = environment
        self._mode: str = environment.options["mode"]
        self._wanted: list[str] = environment.options["restore_points"]
        self._prefix = backup_set.prefix
        self.refusals: list[str] = []

    def __call__(self, subject: Subject) -> Verification:
        if subject.directory is None:
            raise ValueError("a volume without a directory cannot be verified")
        rebuilt = self._rebuild(subject.directory) if self._environment.options["rebuild_manifests"] else ()
        item = Verification.begin(subject, subject.directory, self._prefix)
        item.rebuilt = rebuilt
        if self._mode == "deep":
            self._choose_live(item)
        elif self._mode == "offline" and self._wanted in ([], [_ALL]):
            item.choose_everything()
        elif self._mode == "offline":
            item.chosen = {point.snapshot for point in item.points if point.snapshot in self._wanted}
        return item

    def _rebuild(self, directory: VolumeDirectory) -> tuple[str, ...]:
        """Make lost manifests again; return the archives whose manifest was, or would be in check mode.

        One that cannot be rebuilt is found again as a defect.
        """
        if self._environment.check_mode:
            return lost_manifests(directory, directory.archives(self._prefix))
        with VolumeLock(directory.path):
            lost = lost_manifests(directory, directory.archives(self._prefix))
            return tuple(file for file in lost if self._rebuilt(directory, file))

    def _rebuilt(self, directory: VolumeDirectory, file: str) -> bool:
        name = parse_archive_name(self._prefix, file)
        try:
            if name:
                # first: an older comparison must never speak for what is rebuilt
                proof = load_proof(directory.path)
                proof.forget_compared(name.to)
                save_proof(directory.path, proof)
            rebuild_manifest(directory, self._prefix, file, self._environment.now(), VERSION)
        except ArchiveError as error:
            self.refusals.append(error.message)
            return False
        return True

    def _choose_live(self, item: Verification) -> None:
        """Choose from the restore points whose snapshot is in Ceph."""
        volume = item.subject.volume
        ceph = self._environment.ceph()
        identity, _info = prove_identity(volume, ceph)
        snapshots = {snapshot.name: snapshot for snapshot in ours(ceph.snapshots(volume.spec), self._prefix)}
        there = {
            point.snapshot: item.proof.compared_at(point.chain[-1].to)
            for point in item.points
            if point.chain and _is_of(snapshots.get(point.snapshot), point.chain[-1].to.snapshot_id)
        }
        known = [point.snapshot for point in item.points if point.chain]
        if self._wanted:
            asked = {name for name in known if name in self._wanted or self._wanted == [_ALL]}
        else:
            asked = {*known[-1:], *in_turn(there)} if there else set(known)
        item.chosen = asked & set(there)
        item.gone = tuple(name for name in known if name in asked - set(there))
        item.live = {
            name: LiveSnapshot(ceph, volume.spec, identity.image_id, snapshots[name]) for name in item.chosen
        }


def _is_of(snapshot: Snapshot | None, number: int | None) -> bool:
    """Whether a snapshot in Ceph is the one of this id; a rebuilt manifest does not know it."""
    return snapshot is not None and number in (None, snapshot.id)


def _sample(environment: Environment, items: t.Iterable[Verification]) -> None:
    options = environment.options
    by_path = {item.directory.path: item for item in items}
    candidates = [
        Candidate(path, sum(archive.stored_bytes for archive in item.inventory.archives), *since)
        for path, item in by_path.items()
        for since in [item.since()]
        if since
    ]
    for path in due(candidates, environment.now(), options["sample_days"], options["sample_share"]):
        by_path[path].choose_everything()


def _check(options: t.Mapping[str, t.Any]) -> None:
    if options["sample_days"] < 1:
        raise InvalidInput(
            f"sample_days is {options['sample_days']}: it must be at least 1. Nothing was read."
        )
    share = options["sample_share"]
    if share is not None and not 1 <= share <= 100:
        raise InvalidInput(f"sample_share is {share}: it is a percentage, 1 to 100. Nothing was read.")
    if options["mode"] == "deep" and options["ceph"] is None:
        raise InvalidInput("mode deep compares with Ceph and needs the option ceph. Nothing was read.")
    if options["mode"] == "sample" and options["restore_points"]:
        raise InvalidInput("mode sample chooses by itself and takes no restore_points. Nothing was read.")


def _refuse_unknown(wanted: t.Sequence[str], items: t.Iterable[Verification]) -> None:
    known = {point.snapshot for item in items for point in item.points}
    unknown = [name for name in wanted if name not in known and name != _ALL]
    if unknown:
        raise InvalidInput(
            f"restore_points names {', '.join(unknown)}, and no volume has such a restore point. Nothing was read."
        )


def _failure(item: Verification, accept_unproved: bool) -> dict[str, t.Any]:
    lost, defects = item.lost(), item.defects()
    unknown = all(problem.kind == UNREADABLE for problem in defects)
    what = "could not be read" if unknown else "cannot be restored as they were"
    words = [f"These restore points {what}: {', '.join(lost)}."] if lost else []
    words += dict.fromkeys(problem.message for problem in defects)
    if item.nothing_compared():
        words.append(
            f"Nothing was compared: the snapshots of {', '.join(item.gone)} are not in Ceph, so that nobody can prove "
            "any more that the archives are what was backed up; mode offline proves that they are what was written. "
            "The next snapshot and backup of the volume give something to compare again."
        )
    if item.unproved() and not accept_unproved:
        words.append(
            f"{_unproved(item)} While their snapshots are in Ceph, the next backup or mode deep proves them; otherwise "
            "accept_unproved: true (role: rbd_verify_accept_unproved) makes this a warning."
        )
    message = " ".join(words)
    return {
        **failure(item.subject.volume, BackupError(message)),
        "restore_points": lost,
        "defects": [
            {"file": one.file, "byte": one.byte, "kind": one.kind, "message": one.message} for one in defects
        ],
    }


def _unproved(item: Verification) -> str:
    points = "; ".join(f"{name} (joined at {', '.join(joins)})" for name, joins in item.unproved().items())
    return (
        f"Of these restore points nothing but the names of snapshots says that their archives belong together, because "
        f"manifests were lost and rebuilt: {points}. They are right unless there were two snapshots of such a name."
    )


def _unknown_directory(message: str) -> dict[str, t.Any]:
    return {
        "namespace": "?",
        "claim": "?",
        "image": "?",
        "message": message,
        "restore_points": [],
        "defects": [],
    }


def _lines(item: Verification, entry: t.Mapping[str, t.Any]) -> list[str]:
    read = f"{entry['archives']} archives with {size(entry['archive_bytes'])}"
    if entry["ceph_bytes"]:
        read += f", snapshots of {size(entry['ceph_bytes'])} in Ceph"
    idle = "nothing to compare" if item.gone else "not its turn"
    lines = [f"{entry['name']}: {read if entry['archives'] else idle}"]
    for point in entry["restore_points"]:
        word = point["result"] + (", equal to its live snapshot" if point["compared"] else "")
        lines.append(f"  {point['name']}  {word}")
    lines += [f"  {file}: its manifest was lost and is rebuilt" for file in item.rebuilt]
    lines += [f"  {name}  not compared: its snapshot is not in Ceph" for name in item.gone]
    return lines + [f"  {problem.message}" for problem in item.defects()]
