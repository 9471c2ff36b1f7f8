# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Choose what to restore: the volumes' directories, the restore point in each, and the chain that leads there."""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.backup_set import BackupSet
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.inventory import Inventory
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.names import component
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.points import (
    Point,
    known_points,
    why_lost,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.proof import Proof, load_proof
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.scan import Scan
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.volume_directory import VolumeDirectory
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import ArchiveError, InvalidInput
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Archive
from ansible_collections.rbd_backup.gfs.plugins.module_utils._names import (
    format_utc,
    parse_utc,
    snapshot_time,
)


@dataclasses.dataclass(frozen=True)
class Choice:
    """A restore point and the archives that lead to it, oldest first."""

    directory: VolumeDirectory
    snapshot: str
    time: dt.datetime
    chain: tuple[Archive, ...]


def choose_directories(backup_set: BackupSet, options: t.Mapping[str, t.Any]) -> tuple[VolumeDirectory, ...]:
    """Choose by the options ``namespace`` and ``claim`` or ``workload``, or ``directory``, and ``image_ids``.

    Raises InvalidInput when that names nothing, or a claim that has more than one volume.
    """
    scan = backup_set.scan()
    if options["directory"]:
        return (_by_path(backup_set, scan, options["directory"]),)
    namespace, claim, workload = options["namespace"], options["claim"], options["workload"]
    if not namespace:
        raise InvalidInput("namespace is needed beside claim or workload. Nothing was touched.")
    of_namespace = [
        directory
        for directory in scan.volumes
        if directory.description["volume"]["namespace"] == namespace
        and (claim is None or directory.description["volume"]["claim"] == claim)
    ]
    wanted = of_namespace if workload is None else _used_by(workload, of_namespace)
    what = f"claim {namespace}/{claim}" if claim else f"workload {namespace}/{workload}"
    if not options["image_ids"]:
        _refuse_doubt(scan, what, namespace, claim)
    by_claim: dict[str, list[VolumeDirectory]] = {}
    for directory in wanted:
        by_claim.setdefault(directory.description["volume"]["claim"], []).append(directory)
    narrowed = [_narrow(found, options["image_ids"] or ()) for found in by_claim.values()]
    ambiguous = [directory for found in narrowed if len(found) > 1 for directory in found]
    if ambiguous:
        raise InvalidInput(
            f"{what[0].upper()}{what[1:]} has more than one volume for a claim in the backup set, because the claim "
            f"was created anew: {_listed(ambiguous)}. Nothing was touched. Say which one by image_ids "
            "(role: rbd_restore_image_ids; rbd_protect: image_id)."
        )
    chosen = tuple(directory for found in narrowed for directory in found)
    missing = set(options["image_ids"] or ()) - {directory.identity.image_id for directory in chosen}
    if not chosen or missing:
        raise InvalidInput(_nothing(backup_set, scan, what, sorted(missing), of_namespace))
    return chosen


def find_directory(
    backup_set: BackupSet, namespace: str, claim: str, image_id: str | None
) -> VolumeDirectory:
    """Find the only volume of a claim in the set. Raises InvalidInput where there is none or more than one."""
    where = {"namespace": namespace, "claim": claim, "workload": None, "directory": None}
    return choose_directories(backup_set, {**where, "image_ids": [image_id] if image_id else None})[0]


def choose_point(directory: VolumeDirectory, prefix: str, wanted: str) -> Choice:
    """Choose the restore point that *wanted* means: ``latest``, a name or a time.

    Raises InvalidInput when that means none, ArchiveError when the chain to it is not whole: an older point is never
    taken without a word where a newer one is damaged.
    """
    inventory = inventory_of(directory, prefix)
    known = known_points(inventory, prefix)
    whole = [point for point in known if point.chain]
    if not known:
        raise ArchiveError(f"{directory} holds no archive, and so no restore point. Nothing was touched.")
    point = _meant(known, wanted, prefix, directory)
    if point.chain is None:
        means = "" if point.snapshot == wanted else f", which is what {wanted!r} means,"
        why = " ".join(problem.message for problem in why_lost(inventory, point.snapshot, prefix))
        older = [other.snapshot for other in whole if other.time < point.time]
        advice = (
            f"The newest before it that is whole is {older[-1]}: give that name to restore it."
            if older
            else "None before it is whole."
        )
        raise ArchiveError(
            f"Restore point {point.snapshot} of {directory}{means} cannot be restored: {why} Nothing was touched. "
            f"{advice} {_listed_points(whole)}"
        )
    return Choice(directory, point.snapshot, point.time, point.chain)


def inventory_of(directory: VolumeDirectory, prefix: str) -> Inventory:
    """What there is to restore from, with all that is known of rebuilt manifests. Raises ArchiveError."""
    try:
        proof = load_proof(directory.path)
    except ArchiveError:
        proof = Proof()  # each archive is proved by its own manifest, and a restore says what it lacks
    return proof.identify(directory.archives(prefix))


def check_same_point(choices: t.Sequence[Choice], prefix: str) -> None:
    """Refuse volumes of one workload at different restore points. Raises InvalidInput."""
    if len({choice.snapshot for choice in choices}) < 2:
        return
    until = max(choice.time for choice in choices)
    known = [known_points(inventory_of(choice.directory, prefix), prefix) for choice in choices]
    whole = [{(p.time, p.snapshot) for p in points if p.chain and p.time <= until} for points in known]
    common = max(set.intersection(*whole), default=None)
    each = "; ".join(f"{choice.directory}: {choice.snapshot}" for choice in choices)
    advice = (
        f"The newest that all of them have is {common[1]}: give that name, or restore them one by one."
        if common
        else "They have none in common: restore them one by one, by claim."
    )
    raise InvalidInput(
        f"The volumes of the workload would be restored at different points ({each}). Nothing was touched. {advice}"
    )


def _refuse_doubt(scan: Scan, what: str, namespace: str, claim: str | None) -> None:
    """Refuse to choose among the directories that can be read where one that cannot may be what is meant."""
    wanted = [component(name) for name in (namespace, claim) if name is not None]
    doubtful = [
        problem.message
        for problem in scan.problems
        if all(part == name for part, name in zip(problem.file.split(os.sep), wanted))
    ]
    if doubtful:
        raise InvalidInput(
            f"It cannot be said which volumes of {what} the backup set holds: {' '.join(doubtful)} Nothing was "
            "touched. Put that in order or move it away, or say which volume is meant by image_ids "
            "(role: rbd_restore_image_ids; rbd_protect: image_id) or directory."
        )


def _by_path(backup_set: BackupSet, scan: Scan, path: str) -> VolumeDirectory:
    real = os.path.realpath(os.path.join(backup_set.path, path))
    for directory in scan.volumes:
        if os.path.realpath(directory.path) == real:
            return directory
    raise InvalidInput(
        f"{path} is not the directory of a volume in the backup set {backup_set.path}. Nothing was touched. "
        f"{_problems(scan)}".rstrip()
    )


def _narrow(found: list[VolumeDirectory], image_ids: t.Collection[str]) -> list[VolumeDirectory]:
    return [directory for directory in found if not image_ids or directory.identity.image_id in image_ids]


def _used_by(workload: str, directories: t.Sequence[VolumeDirectory]) -> list[VolumeDirectory]:
    """The volumes of *workload*: ``kind/name``, or the bare name where it is that of one kind only."""
    kind, slash, name = workload.rpartition("/")
    known = {one for directory in directories for one in _workloads(directory)}
    wanted = f"{kind.lower()}/{name}"
    meant = [one for one in sorted(known) if one == wanted or (not slash and one.endswith(wanted))]
    if len(meant) > 1:
        raise InvalidInput(
            f"There is more than one workload {name}: write {' or '.join(meant)}. Nothing was touched."
        )
    return [directory for directory in directories if set(meant) & set(_workloads(directory))]


def _workloads(directory: VolumeDirectory) -> t.Collection[str]:
    found = directory.description["volume"].get("workloads")
    return found if isinstance(found, list) else ()


def _listed(directories: t.Sequence[VolumeDirectory]) -> str:
    return "; ".join(
        f"claim {directory.description['volume']['claim']}, image id {directory.identity.image_id}, begun "
        f"{format_utc(directory.created)}, {directory.description['image'].get('size')} bytes, {directory.path}"
        for directory in directories
    )


def _problems(scan: Scan) -> str:
    return " ".join(problem.message for problem in scan.problems)


def _nothing(
    backup_set: BackupSet,
    scan: Scan,
    what: str,
    missing: t.Sequence[str],
    of_namespace: t.Sequence[VolumeDirectory],
) -> str:
    told = f"The backup set {backup_set.path} has no volume of {what}"
    told += f" with image id {', '.join(missing)}" if missing else ""
    told += ". Nothing was touched."
    if what.startswith("workload"):
        known = sorted({name for directory in of_namespace for name in _workloads(directory)})
        unknown = sorted(
            {
                d.description["volume"]["claim"]
                for d in of_namespace
                if "workloads" not in d.description["volume"]
            }
        )
        told += f" Workloads on record in that namespace: {', '.join(known) or 'none'}."
        if unknown:
            told += (
                f" Of claims {', '.join(unknown)} it is not on record who used them: restore these by claim."
            )
    return f"{told} {_problems(scan)}".rstrip()


def _meant(known: t.Sequence[Point], wanted: str, prefix: str, directory: VolumeDirectory) -> Point:
    """The point that *wanted* means, whole or not. Raises InvalidInput."""
    if wanted == "latest":
        return known[-1]
    if snapshot_time(prefix, wanted) is not None:
        for point in known:
            if point.snapshot == wanted:
                return point
        raise InvalidInput(
            f"There is no restore point {wanted} of {directory}: it was never made, or retention has removed it. "
            f"Nothing was touched. {_listed_points([point for point in known if point.chain])}"
        )
    try:
        time = parse_utc(wanted)
    except InvalidInput:
        raise InvalidInput(
            f"restore_point {wanted!r} is neither 'latest', nor a snapshot name such as {known[-1].snapshot}, nor a "
            "time with hour and zone such as 2026-11-23T17:00:00Z. Nothing was touched."
        ) from None
    before = [point for point in known if point.time <= time]
    if not before:
        raise InvalidInput(
            f"{directory} has no restore point at or before {format_utc(time)}; the oldest is {known[0].snapshot}. "
            "Nothing was touched."
        )
    return before[-1]


def _listed_points(whole: t.Sequence[Point]) -> str:
    return f"There are: {', '.join(point.snapshot for point in whole) or 'none'}."
