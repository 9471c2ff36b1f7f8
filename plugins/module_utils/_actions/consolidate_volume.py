# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Consolidate one volume: look, plan, and carry the plan out under the lock of its directory."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.backup_set import (
    holdings_of,
    ours,
    parent_lookup,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.census import Census, Seen, read_volume
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.consolidate_steps import Steps
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.consolidated import Consolidated, Means
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.environment import Environment
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.backup_set import BackupSet
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.in_use import (
    check_not_in_use,
    check_not_read,
    is_in_use,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.lock import VolumeLock
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.proof import load_proof
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.scan import Scan
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.volume_directory import VolumeDirectory
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import BackupError
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Snapshot, Volume
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.backup import HasParent
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.consolidation import (
    ConsolidationPlan,
    Wishes,
    plan_consolidation,
    repairs,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.guards import Accepted, Last, objection
from ansible_collections.rbd_backup.gfs.plugins.module_utils._retention import Policy

_NEVER_BACKED_UP = "Nothing is removed: no archive of this volume was ever made. Run the backup first."


class VolumeConsolidation:
    """Consolidates a volume of a run; to be called with one after the other, from several threads."""

    def __init__(
        self,
        environment: Environment,
        backup_set: BackupSet,
        scan: Scan,
        policy: Policy,
        means: Means,
        census: Census,
    ) -> None:
        options = environment.options
        self._check_mode = environment.check_mode
        self._as_of = environment.time()
        self._set = backup_set
        self._scan = scan
        self._policy = policy
        self._means = means
        self._ceph = means.ceph
        self._prefix = options["prefix"]
        self._census = census
        self._wishes = Wishes(
            method=options["method"],
            compressed=options["compression"] != "none",
            remove_unarchived=options["remove_unarchived"],
            remove_without_snapshot=options["remove_without_snapshot"],
        )
        self._accepted = Accepted(
            policy_change=options["accept_policy_change"],
            minimum_kept_share=options["minimum_kept_share"],
            lost_newest=options["accept_lost_newest"],
        )

    def __call__(self, volume: Volume) -> Consolidated:
        seen = self._census.look(volume)
        volume = dataclasses.replace(volume, identity=seen.identity)
        directory = self._scan.find(seen.identity)
        if directory is None:
            return Consolidated(volume, ConsolidationPlan(blocked=_NEVER_BACKED_UP))
        has_parent = parent_lookup(volume.spec, self._ceph)

        def has_clones(snapshot: Snapshot) -> bool:
            return self._ceph.has_clones(volume.spec, snapshot)

        if self._check_mode:
            done = self._plan(volume, seen, directory, has_parent, has_clones)
            # what a dead run left goes whatever stands in the way of the plan
            done.changed = not is_in_use(directory.path) and directory.has_leftovers()
            self._note(done, lambda: self._preview(done, directory))
            return done
        with VolumeLock(directory.path):
            directory.check_still_there()
            cleaned = directory.clean_temporaries()
            done = self._plan(volume, seen, directory, has_parent)
            if not done.plan.is_empty:
                # The listing may be old by now. Whoever makes a clone between this question and the removal loses
                # nothing: rbd refuses to remove what is protected, and puts aside what clones of its own need.
                seen = read_volume(volume, self._ceph)
                done = self._plan(volume, seen, directory, has_parent, has_clones)
            done.changed = bool(cleaned)
            self._note(done, Steps(self._means, done, seen.identity, directory).run)
            return done

    def _preview(self, done: Consolidated, directory: VolumeDirectory) -> None:
        """What would come of carrying out the plan."""
        check_not_in_use(directory.path)
        with self._means.room_for(done, directory):
            done.changed |= bool(done.plan.remakes)
            if done.plan.remove_archives or done.plan.remove_snapshots:
                check_not_read(directory.path)
                done.changed = True
            done.let_wait(*self._means.pace.remove(done.plan.remove_snapshots, lambda _snapshot: None))

    def _note(self, done: Consolidated, step: t.Callable[[], None]) -> None:
        """Do *step* unless something stands in the way. Its error is reported along with the plan."""
        if done.error is None:
            try:
                step()
            except Exception as error:
                done.error = error

    def _plan(
        self,
        volume: Volume,
        seen: Seen,
        directory: VolumeDirectory,
        has_parent: HasParent,
        has_clones: t.Callable[[Snapshot], bool] | None = None,
    ) -> Consolidated:
        """Plan, without *has_clones* only to find out whether there is anything to do."""
        snapshots = ours(seen.snapshots, self._prefix)
        holdings, damage = holdings_of(directory, seen.identity, snapshots, self._prefix)
        kept = {name: pin.reason for name, pin in load_proof(directory.path).pins.items()}
        arguments = self._policy, self._as_of, has_parent
        plan = plan_consolidation(holdings, *arguments, kept, self._wishes)
        clones = [s.name for s in plan.remove_snapshots if has_clones(s)] if has_clones else []
        if clones:
            damage += [f"Snapshot {name} of volume {volume} has clones and is kept." for name in clones]
            kept = {**dict.fromkeys(clones, "it has clones"), **kept}
            plan = plan_consolidation(holdings, *arguments, kept, self._wishes)
        damage += [
            f"Snapshot {snapshot.name} of volume {volume} is protected in Ceph and is kept, although its restore point "
            "was removed."
            for snapshot in snapshots
            if snapshot.id in holdings.retired and snapshot.protected
        ]
        key = self._set.key(directory)
        last = self._set.consolidated.get(key)
        why_not = objection(
            plan, self._policy, self._as_of, Last(last.policy, last.kept) if last else None, self._accepted
        )
        done = Consolidated(volume, plan, key, BackupError(why_not) if why_not else None, damage)
        done.repairs = repairs(holdings, plan.chain)
        return done
