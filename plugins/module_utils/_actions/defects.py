# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives that do not count: finding them by reading, saying what becomes of them, and what takes their place."""

from __future__ import annotations

import dataclasses
import datetime as dt
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.backup_set import (
    Found,
    restore_point_of,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.chain import joins
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.names import (
    archive_of_manifest,
    name_before_bad,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.problems import (
    DAMAGED,
    MISSING,
    REFUSED,
    Problem,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.proof import load_proof, save_proof
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.verify import (
    hash_archive,
    verify_archive,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.volume_directory import VolumeDirectory
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import ArchiveError
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Archive, State, Volume
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.backup import (
    BackupPlan,
    Export,
    state_of,
    whole_states,
)


@dataclasses.dataclass(frozen=True)
class Examined:
    """What reading archives showed: the damaged ones, the good ones, and how many there was no time for."""

    damaged: tuple[Problem, ...] = ()
    unverified: int = 0
    good: tuple[Archive, ...] = ()


def examine(
    directory: VolumeDirectory,
    prefix: str,
    everything: bool,
    stopped: t.Callable[[], bool],
    known_good: t.Sequence[Archive] = (),
) -> Examined:
    """Read archives from the disk: all stored bytes of *everything*, and in any case the whole of those that have
    another file of theirs beside them, which may go only when they are proved.

    Those that this run has read before, *known_good*, are not read again. Once *stopped* none is begun any more. Raises
    ArchiveError where the storage does not answer.
    """
    inventory = directory.archives(prefix)
    others = {_published(file) for file in inventory.superseded} | set(inventory.unpublished)
    doubted = {restore_point_of(prefix, file) for file in others | {p.file for p in inventory.problems}}
    damaged: list[Problem] = []
    good: list[Archive] = []
    unverified = 0
    for archive in inventory.archives:
        # what a rebuilt manifest replaced is kept beside it: it may know more
        doubtful = archive.to.snapshot in doubted and not archive.rebuilt
        if not (everything or doubtful):
            continue
        if archive in known_good:
            good.append(archive)
            continue
        if stopped():
            unverified += 1
            continue
        try:
            if doubtful:
                verify_archive(directory.path, archive)
            else:
                hash_archive(directory.path, archive)
            good.append(archive)
        except ArchiveError as error:
            kind = error.details.get("kind")
            if kind not in (DAMAGED, MISSING):
                raise
            damaged.append(Problem(archive.file, error.message, kind))
    return Examined(tuple(damaged), unverified, tuple(good))


def note(directory: VolumeDirectory, examined: Examined, now: dt.datetime) -> None:
    """Note in proof.json which archives were read and found right, or not. Under the lock. Raises ArchiveError."""
    if not (examined.good or examined.damaged):
        return
    proof = load_proof(directory.path)
    for archive in examined.good:
        proof.record_hashed(archive, now)
    for problem in examined.damaged:
        proof.forget_hashed(problem.file)
    save_proof(directory.path, proof)


def superseded_by(found: Found, export: Export) -> tuple[str, ...]:
    """The files of archives that the archive of *export* takes the place of, by the archives' names."""
    good = {archive.file for archive in found.holdings.archives}
    return tuple(file for file in _others(found, state_of(export.to)) if file not in good)


def leftovers(found: Found) -> list[tuple[Archive, tuple[str, ...]]]:
    """What can go because a restore point is whole without it: the archive that leads there, and those that do not
    count. Only after :func:`examine` has read that archive."""
    good = {archive.file: archive for archive in found.holdings.archives}
    whole = whole_states(found.holdings.image_id, good.values())
    result: list[tuple[Archive, tuple[str, ...]]] = []
    done: set[State] = set()
    for archive in good.values():
        if archive.to in whole and archive.to not in done and not archive.rebuilt:
            done.add(archive.to)
            files = _others(found, archive.to)
            theirs = tuple(file for file in files if file not in good)
            if theirs:
                result.append((archive, theirs))
            result += [(good[file], ()) for file in files if file in good]
    return result


def tell(volume: Volume, found: Found, plan: BackupPlan) -> list[str]:
    """Say of every defect what it is and what becomes of it, and which restore points are lost."""
    again = {export.to.name for export in plan.exports}
    holdings = found.holdings
    whole = {state.snapshot for state in whole_states(holdings.image_id, holdings.archives)}
    messages = []
    told = set()
    for problem in found.problems:
        name = restore_point_of(holdings.prefix, problem.file)
        what = problem.message
        if name in again:
            what += " Its snapshot is still in Ceph: it is exported again."
        elif name in whole:
            what += " Its restore point is whole without it."
        elif name in plan.lost:
            told.add(name)
            what += (
                f" Its snapshot is gone from Ceph, so that it cannot be exported again: restore point {name} of volume "
                f"{volume} cannot be restored. What is left of the archive was kept."
            )
        messages.append(what)
    messages += [
        f"Restore point {name} of volume {volume} is lost: neither its archive nor its snapshot in Ceph is there any "
        "more. What stood on it is exported again while its own snapshot exists."
        for name in plan.lost
        if name not in told
    ]
    return messages


def _others(found: Found, state: State) -> list[str]:
    """The archives that do not count, or once did, and lead to *state* by their name.

    None while an archive stands on another state of that name: what does not count may be what it stands on.
    """
    archives = found.holdings.archives
    if any(a.base and a.base.snapshot == state.snapshot and not joins(state, a.base) for a in archives):
        return []
    files = {problem.file for problem in found.problems if problem.kind != REFUSED}
    files.update(_published(file) for file in found.superseded)
    return sorted(f for f in files if restore_point_of(found.holdings.prefix, f) == state.snapshot)


def _published(file: str) -> str:
    """The archive whose bytes or manifest ``.bad-<time>`` keeps as *file*."""
    name = name_before_bad(file) or file
    return archive_of_manifest(name) or name
