# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Open the backup set of a run, and find what it holds of a volume."""

from __future__ import annotations

import dataclasses
import os
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.environment import Environment
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.backup_set import BackupSet
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.names import parse_archive_name
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.problems import (
    MANIFEST,
    REFUSED,
    Problem,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.proof import load_proof
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.volume_directory import VolumeDirectory
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.rbd import RbdClient
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import InvalidInput
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Identity, ImageSpec, Snapshot
from ansible_collections.rbd_backup.gfs.plugins.module_utils._names import check_prefix, snapshot_time
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.backup import HasParent, Holdings
from ansible_collections.rbd_backup.gfs.plugins.module_utils._retention import Policy


def set_path(options: t.Mapping[str, t.Any]) -> str:
    """Return the directory of the backup set: ``root`` and below it the cluster's name. Raises InvalidInput."""
    cluster: str = options["cluster"]
    if cluster in ("", ".", "..") or "/" in cluster or "\0" in cluster:
        raise InvalidInput(
            f"The cluster name {cluster!r} cannot be the name of a directory. Nothing was touched."
        )
    root = str(options["root"])
    if not os.path.isabs(root):
        raise InvalidInput(
            f"root is {root!r}: it must be an absolute path, or it would depend on where the run is started. Nothing "
            "was touched."
        )
    return os.path.join(root, cluster)


def open_set(options: t.Mapping[str, t.Any], fsid: str, accept_prefix: bool = False) -> BackupSet:
    """Open the backup set to write to it, and hold its Ceph fsid and prefix against ours.

    With *accept_prefix* another prefix is meant. Raises ArchiveError, InvalidInput.
    """
    backup_set = BackupSet.open(set_path(options), fsid)
    if options["prefix"] != backup_set.prefix and not accept_prefix:
        raise InvalidInput(
            f"{backup_set.path} is a backup set of another prefix: it has {backup_set.prefix!r}, and this run is about "
            f"{options['prefix']!r}: other snapshots would be meant. Nothing was touched. Correct the inventory, or "
            "change the prefix by a consolidation with accept_policy_change."
        )
    return backup_set.about(options["prefix"])


def open_set_to_read(options: t.Mapping[str, t.Any], fsid: str | None = None) -> BackupSet:
    """Open the backup set for the restore points of its own prefix, or of the option ``prefix``. Raises ArchiveError,
    InvalidInput."""
    backup_set = BackupSet.open(set_path(options), fsid)
    return backup_set.about(check_prefix(options["prefix"])) if options["prefix"] else backup_set


def open_or_init_set(environment: Environment, fsid: str) -> tuple[BackupSet, bool]:
    """Open the backup set, or make it where the option ``init`` says so. Returns it and whether it was made."""
    options = environment.options
    if not options["init"]:
        backup_set = open_set(options, fsid)
        if options["timezone"] and options["timezone"] != backup_set.timezone:
            raise InvalidInput(
                f"The time zone of the backup set {backup_set.path} is {backup_set.timezone}, and this run says "
                f"{options['timezone']}. Nothing was touched. Correct the inventory, or change the zone by a "
                "consolidation with accept_policy_change."
            )
        return backup_set, False
    timezone = Policy.from_options({"timezone": options["timezone"]}).timezone
    return BackupSet.init(set_path(options), fsid, options["prefix"], timezone, environment.check_mode)


def ours(snapshots: t.Iterable[Snapshot], prefix: str) -> tuple[Snapshot, ...]:
    """Those *snapshots* whose names are of this set, in ascending id."""
    found = [snapshot for snapshot in snapshots if snapshot_time(prefix, snapshot.name) is not None]
    return tuple(sorted(found, key=lambda snapshot: snapshot.id))


@dataclasses.dataclass(frozen=True)
class Found:
    """What there is of a volume. ``problems`` are the archives that do not count, ``superseded`` the files that
    ``.bad-<time>`` kept, ``begun`` what a dead run left half-written or half-removed."""

    holdings: Holdings
    problems: tuple[Problem, ...] = ()
    superseded: tuple[str, ...] = ()
    begun: tuple[str, ...] = ()


def look_into(
    directory: VolumeDirectory | None,
    identity: Identity,
    snapshots: tuple[Snapshot, ...],
    prefix: str,
    damaged: t.Collection[Problem] = (),
) -> Found:
    """Put together what there is of a volume; *directory* is None when it has none yet. Raises ArchiveError.

    *damaged* are archives that were read and found wrong. A snapshot counts as retired only when its name and its id
    are both on record.
    """
    if directory is None:
        return Found(Holdings(prefix, identity.image_id, snapshots, ()))
    proof = load_proof(directory.path)
    inventory = proof.identify(directory.archives(prefix))
    problems = (
        *inventory.problems,
        *damaged,
        *(
            Problem(file, f"Archive {directory.path}/{file} has no manifest and does not count.", MANIFEST)
            for file in inventory.unpublished
        ),
    )
    defective = {problem.file for problem in problems}
    holdings = Holdings(
        prefix=prefix,
        image_id=identity.image_id,
        snapshots=snapshots,
        archives=tuple(archive for archive in inventory.archives if archive.file not in defective),
        retired=frozenset(
            s.id for s in snapshots if s.id in proof.retired and proof.retired[s.id].snapshot == s.name
        ),
        doubtful=any(problem.kind in (MANIFEST, REFUSED) for problem in problems),
        defective=frozenset(name for file in defective for name in [restore_point_of(prefix, file)] if name),
    )
    return Found(holdings, problems, inventory.superseded, (*inventory.temporaries, *inventory.removing))


def holdings_of(
    directory: VolumeDirectory | None, identity: Identity, snapshots: tuple[Snapshot, ...], prefix: str
) -> tuple[Holdings, list[str]]:
    """What there is of a volume, and in words what lies in its directory and is not as it should be."""
    found = look_into(directory, identity, snapshots, prefix)
    return found.holdings, [problem.message for problem in found.problems]


def restore_point_of(prefix: str, file: str) -> str | None:
    """The restore point that the archive *file* leads to by its name; None when it is not an archive's name."""
    name = parse_archive_name(prefix, file)
    return name.to if name else None


def parent_lookup(spec: ImageSpec, ceph: RbdClient, planned: str | None = None) -> HasParent:
    """Return the question to Ceph whether the image at *spec* had a parent at a snapshot.

    A snapshot that is only *planned* will have the parent that the image has now.
    """
    answers: dict[int, bool] = {}

    def has_parent(snapshot: Snapshot) -> bool:
        if snapshot.id not in answers:
            info = ceph.info(spec, None if snapshot.name == planned else snapshot.name)
            answers[snapshot.id] = info.parent is not None
        return answers[snapshot.id]

    return has_parent
