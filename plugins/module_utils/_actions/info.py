# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Show what a backup set holds and what it lacks. Writes nothing."""

from __future__ import annotations

import datetime as dt
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.backup_set import open_set_to_read
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.each_volume import check_parallel
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.environment import Environment, Outcome
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.orphans import (
    orphaned_directories,
    orphaned_snapshots,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.subjects import (
    Subject,
    find_subjects,
    for_each_subject,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.backup_set import BackupSet
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.in_use import is_in_use
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.inventory import Inventory
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.points import Point, known_points
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.proof import Proof, load_proof
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.volume_directory import VolumeDirectory
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import InvalidInput
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Archive
from ansible_collections.rbd_backup.gfs.plugins.module_utils._names import format_utc
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.overview import orphan, overview
from ansible_collections.rbd_backup.gfs.plugins.module_utils._retention import (
    Policy,
    RestorePoint,
    Verdict,
    decide,
)

_NO_ORPHANS = (
    "Orphans were not looked for: it was not said that the volumes of this run are all that are in use "
    "(volumes_complete), or not all were found."
)
_TOLERANCE = dt.timedelta(seconds=Policy.future_tolerance)


def run(environment: Environment) -> Outcome:
    """Carry out the module ``rbd_backup_info``. Raises BackupError."""
    options = environment.options
    parallel = check_parallel(options)
    if options["overdue_hours"] < 1:
        raise InvalidInput(f"overdue_hours is {options['overdue_hours']}: it must be at least 1.")
    backup_set = open_set_to_read(options, None if options["ceph"] is None else environment.ceph().fsid())
    subjects = find_subjects(environment, backup_set.scan(), options["volumes_complete"])
    look = _Look(backup_set, environment.time(), dt.timedelta(hours=options["overdue_hours"]))
    volumes, failures = for_each_subject(subjects.items, look, parallel)
    orphans, problems, unlooked = [], list(subjects.problems), []
    if not subjects.complete:
        unlooked = [_NO_ORPHANS]
    elif options["volumes"] is not None:
        orphans = orphaned_directories(subjects.items)
        if options["ceph"] is not None:
            found, unknown = orphaned_snapshots(environment.ceph(), subjects.items, backup_set.prefix)
            orphans = [one for one in orphans if not any(_same(one, other) for other in found)] + found
            problems += unknown
    return Outcome(
        values={
            "backup_set": backup_set.path,
            "time": format_utc(look.now),
            "volumes": volumes,
            "overdue": [entry["name"] for entry in volumes if entry["overdue"]],
            "orphans": orphans,
            "problems": problems,
            "stored_bytes": sum(entry["stored_bytes"] for entry in volumes),
            "table": [
                *(line for entry in volumes for line in overview(entry["name"], entry)),
                *map(orphan, orphans),
                *unlooked,
                *problems,
            ],
        },
        failures=[*subjects.failures, *failures],
    )


class _Look:
    """Looks at one volume."""

    def __init__(self, backup_set: BackupSet, now: dt.datetime, overdue: dt.timedelta) -> None:
        self._set = backup_set
        self._overdue = overdue
        self.now = now

    def __call__(self, subject: Subject) -> dict[str, t.Any]:
        """The volume as data."""
        identity = subject.volume.identity
        entry: dict[str, t.Any] = {
            "name": str(subject.volume),
            "namespace": subject.volume.namespace,
            "claim": subject.volume.claim,
            "image": str(subject.volume.spec),
            "image_id": identity.image_id if identity else None,
            "directory": None,
            "used": subject.used,
            "overdue": True,
            "newest": None,
            "stored_bytes": 0,
            "restore_points": [],
            "problems": [],
            "temporaries": [],
            "superseded": [],
        }
        if subject.directory:
            entry.update(self._holdings(subject.directory, subject.used))
        return entry

    def _holdings(self, directory: VolumeDirectory, used: bool | None) -> dict[str, t.Any]:
        proof = load_proof(directory.path)
        inventory = proof.identify(directory.archives(self._set.prefix))
        points = known_points(inventory, self._set.prefix)
        whole = [point for point in points if point.chain]
        newest = whole[-1].time if whole else None
        # one of the future is of a clock that was wrong, and says nothing of whether backups are made
        past = [point.time for point in whole if point.time <= self.now + _TOLERANCE]
        verdicts = self._verdicts(directory, whole, proof)
        dead = (*inventory.temporaries, *inventory.removing) if not is_in_use(directory.path) else ()
        return {
            "directory": directory.path,
            "overdue": used is not False and (not past or self.now - past[-1] > self._overdue),
            "newest": format_utc(newest) if newest else None,
            "stored_bytes": sum(archive.stored_bytes for archive in inventory.archives),
            "restore_points": [self._point(point, proof, verdicts.get(point.snapshot)) for point in points],
            "problems": _problems(inventory),
            "temporaries": list(dead),
            "superseded": list(inventory.superseded),
        }

    def _verdicts(
        self, directory: VolumeDirectory, whole: t.Iterable[Point], proof: Proof
    ) -> dict[str, Verdict]:
        """What retention would say of the restore points, by the policy of the last consolidation."""
        last = self._set.consolidated.get(self._set.key(directory))
        if last is None:
            return {}
        points = [RestorePoint(point.snapshot, point.time, point.snapshot in proof.pins) for point in whole]
        decision = decide(points, Policy.from_options(last.policy), self.now)
        return {verdict.name: verdict for verdict in decision.verdicts}

    def _point(self, point: Point, proof: Proof, verdict: Verdict | None) -> dict[str, t.Any]:
        last = point.chain[-1] if point.chain else None
        return {
            "name": point.snapshot,
            "time": format_utc(point.time),
            "age_seconds": int((self.now - point.time).total_seconds()),
            "kind": None if last is None else "full" if last.is_full else "diff",
            "chain": len(point.chain) if point.chain else None,
            "stored_bytes": last.stored_bytes if last else None,
            "rebuilt": any(archive.rebuilt for archive in point.chain or ()),
            "keep": verdict.keep if verdict else None,
            "reasons": list(verdict.reasons) if verdict else [],
            "hashed": _hashed(point.chain or (), proof),
            "replayed": _written(proof.replayed_at(last.to) if last else None),
            "compared": _written(proof.compared_at(last.to) if last else None),
        }


def _hashed(chain: t.Sequence[Archive], proof: Proof) -> str | None:
    """When all bytes of the chain had been hashed: the date of the archive whose turn was longest ago."""
    dates = [proof.hashed_at(archive) for archive in chain]
    known = [date for date in dates if date is not None]
    return format_utc(min(known)) if known and len(known) == len(dates) else None


def _written(time: dt.datetime | None) -> str | None:
    return format_utc(time) if time else None


def _problems(inventory: Inventory) -> list[str]:
    return [
        *(problem.message for problem in inventory.problems),
        *(f"Archive {file} has no manifest and does not count." for file in inventory.unpublished),
    ]


def _same(one: t.Mapping[str, t.Any], other: t.Mapping[str, t.Any]) -> bool:
    """Whether two orphans are of one image; the one with the snapshots says more."""
    return bool(one["directory"] == other["directory"])
