# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Choose what to restore: the volume's directory, the restore point in it, and the chain that leads there."""

from __future__ import annotations

import dataclasses
import datetime as dt
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.backup_set import BackupSet
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.chain import chain
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.inventory import Inventory
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.names import parse_archive_name
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


def choose(backup_set: BackupSet, options: t.Mapping[str, t.Any]) -> Choice:
    """Choose by the options ``namespace``, ``claim``, ``image_id`` and ``restore_point``.

    Raises InvalidInput when that names nothing or more than one thing, ArchiveError when the chain is not whole.
    """
    directory = _directory(backup_set, options["namespace"], options["claim"], options["image_id"])
    inventory = directory.archives(backup_set.prefix)
    archives = inventory.archives
    points = _restore_points(archives, backup_set.prefix)
    if not points:
        raise ArchiveError(
            f"{directory} holds no restore point: no chain of archives is whole. Nothing was touched."
        )
    snapshot = _restore_point(points, options["restore_point"], backup_set.prefix, directory)
    if snapshot != options["restore_point"]:
        _refuse_older(
            points, _known(inventory, backup_set.prefix), snapshot, options["restore_point"], directory
        )
    found = chain(archives, snapshot)
    if found is None:
        raise ArchiveError(
            f"There is no restore point {snapshot} of {directory}: it was never made, retention has removed it, or an "
            f"archive of its chain is missing or damaged. Nothing was touched. There are: {', '.join(points)}."
        )
    return Choice(directory, snapshot, points[snapshot], found)


def _directory(backup_set: BackupSet, namespace: str, claim: str, image_id: str | None) -> VolumeDirectory:
    scan = backup_set.scan()
    of_claim = [
        directory
        for directory in scan.volumes
        if (directory.description["volume"]["namespace"], directory.description["volume"]["claim"])
        == (namespace, claim)
    ]
    found = [directory for directory in of_claim if image_id in (None, directory.identity.image_id)]
    if len(found) == 1:
        return found[0]
    if not found:
        unreadable = " ".join(problem.message for problem in scan.problems)
        raise InvalidInput(
            f"The backup set {backup_set.path} has no volume of claim {namespace}/{claim}"
            + (f" with image id {image_id}" if image_id else "")
            + f". Nothing was touched. {unreadable}".rstrip()
        )
    listed = "; ".join(
        f"image id {directory.identity.image_id}, begun {format_utc(directory.created)}, "
        f"{directory.description['image'].get('size')} bytes, {directory.path}"
        for directory in found
    )
    raise InvalidInput(
        f"Claim {namespace}/{claim} has more than one volume in the backup set, because it was created anew: {listed}. "
        "Nothing was touched. Say which one by image_id (role: rbd_restore_image_id)."
    )


def _known(inventory: Inventory, prefix: str) -> dict[str, dt.datetime]:
    """Every restore point of which there is a trace, whole or not."""
    files = [problem.file for problem in inventory.problems] + list(inventory.unpublished)
    parsed = [parse_archive_name(prefix, file) for file in files]
    known = {archive.to.snapshot for archive in inventory.archives} | {name.to for name in parsed if name}
    times = {name: snapshot_time(prefix, name) for name in known}
    return {name: time for name, time in times.items() if time is not None}


def _refuse_older(
    points: t.Mapping[str, dt.datetime],
    known: t.Mapping[str, dt.datetime],
    chosen: str,
    wanted: str,
    directory: VolumeDirectory,
) -> None:
    """Refuse to restore an older point without a word where a newer one that was meant is damaged."""
    until = max(known.values()) if wanted == "latest" else parse_utc(wanted)
    newer = sorted(name for name, time in known.items() if points[chosen] < time <= until)
    if newer:
        raise ArchiveError(
            f"Restore point {newer[-1]} of {directory} is what {wanted!r} means, and it cannot be restored: an archive "
            "of its chain is missing or damaged. Nothing was touched. The newest before it that is whole is "
            f"{chosen}: give that name to restore it."
        )


def _restore_points(archives: t.Sequence[Archive], prefix: str) -> dict[str, dt.datetime]:
    """The restore points, in ascending time."""
    times = {archive.to.snapshot: snapshot_time(prefix, archive.to.snapshot) for archive in archives}
    whole = [(time, name) for name, time in times.items() if time is not None and chain(archives, name)]
    return {name: time for time, name in sorted(whole)}


def _restore_point(
    points: t.Mapping[str, dt.datetime], wanted: str, prefix: str, directory: VolumeDirectory
) -> str:
    if wanted == "latest":
        return list(points)[-1]
    if snapshot_time(prefix, wanted) is not None:
        return wanted
    try:
        time = parse_utc(wanted)
    except InvalidInput:
        raise InvalidInput(
            f"restore_point {wanted!r} is neither 'latest', nor a snapshot name such as {list(points)[-1]}, nor a time "
            "with hour and zone such as 2026-11-23T17:00:00Z. Nothing was touched."
        ) from None
    before = [name for name, at in points.items() if at <= time]
    if not before:
        raise InvalidInput(
            f"{directory} has no restore point at or before {format_utc(time)}; the oldest is {next(iter(points))}. "
            "Nothing was touched."
        )
    return before[-1]
