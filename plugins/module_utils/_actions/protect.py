# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Protect a restore point from retention, or take the protection off."""

from __future__ import annotations

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.backup_set import open_set_to_read
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.choice import (
    choose_point,
    find_directory,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.environment import Environment, Outcome
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.backup_set import BackupSet
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.lock import VolumeLock
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.proof import (
    Pin,
    Proof,
    load_proof,
    save_proof,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.volume_directory import VolumeDirectory
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import InvalidInput


def run(environment: Environment) -> Outcome:
    """Carry out the module ``rbd_protect``. Raises BackupError; nothing was changed then."""
    options = environment.options
    backup_set = open_set_to_read(options)
    present = options["state"] == "present"
    reason = (options["reason"] or "").strip()
    if present and not reason:
        raise InvalidInput(
            "reason is missing: say why the restore point is protected, it is shown with every plan. Nothing was "
            "touched."
        )
    directory = find_directory(backup_set, options["namespace"], options["claim"], options["image_id"])
    snapshot = _snapshot(environment, backup_set, directory, present)
    if environment.check_mode:
        changed, before = _change(environment, load_proof(directory.path), snapshot, reason)
    else:
        with VolumeLock(directory.path):
            # a consolidation may have removed it until the directory was locked
            snapshot = _snapshot(environment, backup_set, directory, present)
            proof = load_proof(directory.path)
            _changed, before = _change(environment, proof, snapshot, reason)
            changed = save_proof(directory.path, proof)
    after = reason if present else None
    return Outcome(
        changed=changed,
        values={
            "directory": directory.path,
            "restore_point": snapshot,
            "protected": present,
            "reason": after,
        },
        diff={"before": _line(directory, snapshot, before), "after": _line(directory, snapshot, after)},
    )


def _snapshot(
    environment: Environment, backup_set: BackupSet, directory: VolumeDirectory, present: bool
) -> str:
    """The restore point that is meant. The protection of one that is gone or damaged can still be taken off."""
    wanted: str = environment.options["restore_point"]
    if not present and wanted in load_proof(directory.path).pins:
        return wanted
    return choose_point(directory, backup_set.prefix, wanted).snapshot


def _change(environment: Environment, proof: Proof, snapshot: str, reason: str) -> tuple[bool, str | None]:
    """Change the pins, and return whether that is a change and the reason that was there."""
    pin = proof.pins.get(snapshot)
    before = pin.reason if pin else None
    if environment.options["state"] == "absent":
        proof.pins.pop(snapshot, None)
        return pin is not None, before
    proof.pins[snapshot] = Pin(snapshot, reason, pin.since if pin else environment.now())
    # a consolidation that died before it removed the archives has retired it, and the next one would go on
    proof.forget_retired(
        [entry.snapshot_id for entry in proof.retired.values() if entry.snapshot == snapshot]
    )
    return before != reason, before


def _line(directory: VolumeDirectory, snapshot: str, reason: str | None) -> str:
    return f"{directory} {snapshot} protected: {reason}\n" if reason is not None else ""
