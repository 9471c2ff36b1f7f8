# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Apply retention to the restore points of every volume."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.backup_set import (
    holdings_of,
    open_set,
    ours,
    parent_lookup,
    set_path,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.census import Census, Seen, read_volume
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.consolidate_steps import (
    Consolidated,
    Means,
    Steps,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.each_volume import (
    check_parallel,
    failure,
    for_each_volume,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.environment import Environment, Outcome
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.pacing import RemovalPace
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.room import Room
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.unused_volumes import (
    Unused,
    check_removable,
    find_unused,
    remove_unused,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.volumes import volumes_from_options
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive import set_record
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.backup_set import BackupSet
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.codec import compressor
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.lock import VolumeLock
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.proof import load_proof
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.scan import Scan
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.volume_directory import VolumeDirectory
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import BackupError, InvalidInput
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Volume
from ansible_collections.rbd_backup.gfs.plugins.module_utils._names import check_prefix
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.backup import Holdings
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.consolidation import (
    ConsolidationPlan,
    Wishes,
    plan_consolidation,
    repairs,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.guards import Accepted, Last, objection
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.table import difference, table
from ansible_collections.rbd_backup.gfs.plugins.module_utils._retention import Policy

_NEVER_BACKED_UP = "Nothing is removed: no archive of this volume was ever made. Run the backup first."


def run(environment: Environment) -> Outcome:
    """Carry out the module ``gfs_consolidate``. Raises BackupError before anything is touched."""
    options = environment.options
    parallel = check_parallel(options)
    volumes = volumes_from_options(options["volumes"])
    check_prefix(options["prefix"])
    # refuses what cannot be
    compressor(options["compression"], options["compression_level"], options["compression_threads"])
    _check_numbers(options)
    ceph = environment.ceph()
    pace = RemovalPace(
        options["max_snapshot_removals"],
        options["snapshot_removals_per_second"],
        options["max_snaptrim_pgs"],
        ceph.trimming_pgs,
    )
    backup_set = open_set(options, ceph.fsid())
    policy = _policy(options, backup_set)
    means = Means(ceph, options, environment.now(), pace, Room())
    scan = backup_set.scan()
    work = _Consolidation(environment, backup_set, scan, policy, means, Census(ceph, volumes))
    unused = work.find_unused(volumes)
    done, failures = for_each_volume(volumes, work, parallel)
    failures += [failure(item.volume, item.error) for item in done if item.error]
    failures += [failure(item.volume, item.error) for item in unused if item.error]
    failures += work.remove_unused([item for item in unused if not item.error])
    recorded, fatal = _record(environment, backup_set, policy, done)
    before, after = _differences(done)
    extra = sorted((item.plan.extra_bytes for item in done if not item.error), reverse=True)
    return Outcome(
        changed=recorded or any(item.changed for item in done) or any(item.removed for item in unused),
        values={
            "backup_set": set_path(options),
            "plans": [{**item.what, **item.plan.to_dict()} for item in done],
            "table": [line for item in done for line in table(str(item.volume), item.plan)],
            "archives": [archive for item in done for archive in item.made],
            "peak_extra_bytes": sum(extra[:parallel]),
            "waiting": [
                {**item.what, "snapshots": item.waiting, "because": item.waiting_because}
                for item in done
                if item.waiting
            ],
            "unused_volumes": [item.to_dict() for item in unused],
        },
        failures=failures,
        warnings=[message for item in done for message in item.damage],
        diff={"before": before, "after": after},
        fatal=fatal,
    )


class _Consolidation:
    """Consolidates one volume."""

    def __init__(
        self,
        environment: Environment,
        backup_set: BackupSet,
        scan: Scan,
        policy: Policy,
        means: Means,
        census: Census,
    ) -> None:
        self._options = environment.options
        self._check_mode = environment.check_mode
        self._ceph = environment.ceph()
        self._as_of = environment.time()
        self._set = backup_set
        self._scan = scan
        self._policy = policy
        self._means = means
        self._census = census

    def __call__(self, volume: Volume) -> Consolidated:
        seen = self._census.look(volume)
        volume = dataclasses.replace(volume, identity=seen.identity)
        directory = self._scan.find(seen.identity)
        if directory is None:
            return Consolidated(volume, ConsolidationPlan(blocked=_NEVER_BACKED_UP))
        if self._check_mode:
            done = self._plan(volume, seen, directory)
            if done.error is None:
                done.changed = not done.plan.is_empty
                self._note(done, lambda: self._preview(done, directory))
            return done
        with VolumeLock(directory.path):
            directory.clean_temporaries()
            done = self._plan(volume, seen, directory)
            if not done.plan.is_empty:
                seen = read_volume(volume, self._ceph)[0]
                done = self._plan(volume, seen, directory)
            if done.error is None:
                self._note(done, Steps(self._means, done, seen.identity, directory).run)
            return done

    def _preview(self, done: Consolidated, directory: VolumeDirectory) -> None:
        with self._means.room_for(done, directory):
            pass

    def find_unused(self, volumes: t.Iterable[Volume]) -> list[Unused]:
        """List the volumes of the set that are not among *volumes*. Raises InvalidInput where one must not go."""
        used, complete = set(), self._options["volumes_complete"]
        for volume in volumes:
            try:
                used.add(self._census.look(volume).identity)
            except BackupError:  # its directory may be any
                complete = False
        unused = find_unused(self._set, self._scan, used)
        check_removable(unused, self._options["remove_unused_volumes"], complete and not self._scan.problems)
        return unused

    def remove_unused(self, unused: t.Iterable[Unused]) -> list[dict[str, t.Any]]:
        """Remove those of the *unused* volumes that the user named, and return the failures."""
        failures = []
        for item in unused:
            if item.key in self._options["remove_unused_volumes"]:
                try:
                    if self._check_mode:
                        item.removed = True
                    else:
                        remove_unused(item, self._means)
                except Exception as error:  # the others must go on, whatever it was
                    failures.append(failure(item.volume, error))
        return failures

    def _note(self, done: Consolidated, step: t.Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:  # the plan is reported along with it
            done.error = error

    def _plan(self, volume: Volume, seen: Seen, directory: VolumeDirectory) -> Consolidated:
        prefix = self._options["prefix"]
        snapshots = ours(seen.snapshots, prefix)
        holdings, damage = holdings_of(directory, seen.identity, snapshots, prefix)
        pinned = {name: pin.reason for name, pin in load_proof(directory.path).pins.items()}
        plan = self._plan_with(volume, holdings, pinned)
        clones = {s.name for s in plan.remove_snapshots if self._ceph.has_clones(volume.spec, s)}
        if clones:
            damage += [
                f"Snapshot {name} of volume {volume} has clones and is kept." for name in sorted(clones)
            ]
            plan = self._plan_with(volume, holdings, {**dict.fromkeys(clones, "it has clones"), **pinned})
        key = self._set.key(directory)
        last = self._set.consolidated.get(key)
        why_not = objection(
            plan,
            self._policy,
            self._as_of,
            Last(last.policy, last.kept) if last else None,
            Accepted(
                policy_change=self._options["accept_policy_change"],
                minimum_kept_share=self._options["minimum_kept_share"],
                lost_newest=self._options["accept_lost_newest"],
            ),
        )
        done = Consolidated(volume, plan, key, BackupError(why_not) if why_not else None, damage)
        done.repairs = repairs(holdings, plan.chain)
        return done

    def _plan_with(self, volume: Volume, holdings: Holdings, kept: t.Mapping[str, str]) -> ConsolidationPlan:
        wishes = Wishes(
            method=self._options["method"],
            compressed=self._options["compression"] != "none",
            remove_unarchived=self._options["remove_unarchived"],
            remove_without_snapshot=self._options["remove_without_snapshot"],
        )
        has_parent = parent_lookup(volume.spec, self._ceph)
        return plan_consolidation(holdings, self._policy, self._as_of, has_parent, kept, wishes)


def _check_numbers(options: t.Mapping[str, t.Any]) -> None:
    if not 0 <= options["minimum_kept_share"] <= 100:
        raise InvalidInput(
            f"minimum_kept_share is {options['minimum_kept_share']}: it is a percentage, 0 to 100. Nothing was touched."
        )
    if options["proof_max_age"] < 0:
        raise InvalidInput(
            f"proof_max_age is {options['proof_max_age']}: it is a number of days, 0 or more. Nothing was touched."
        )


def _policy(options: t.Mapping[str, t.Any], backup_set: BackupSet) -> Policy:
    """The policy of this run; its time zone is the one that is recorded in the set unless another one is accepted."""
    policy = Policy.from_options(
        {**options["retention"], "timezone": options["timezone"] or backup_set.timezone}
    )
    if policy.timezone != backup_set.timezone and not options["accept_policy_change"]:
        raise InvalidInput(
            f"The time zone of the backup set {backup_set.path} is {backup_set.timezone}, and this run is about "
            f"{policy.timezone}: other days would stand for weeks and months. Nothing was touched. Set "
            "accept_policy_change if it is meant."
        )
    return policy


def _record(
    environment: Environment, backup_set: BackupSet, policy: Policy, done: t.Iterable[Consolidated]
) -> tuple[bool, str | None]:
    """Note by which policy each volume was consolidated and how much was kept, where that is news.

    Returns whether it was, or would be in check mode, and what went wrong in noting it.
    """
    now = environment.now()
    news = {}
    for item in done:
        if item.directory and not item.error:
            last = backup_set.consolidated.get(item.directory)
            if last is None or (dict(last.policy), last.kept) != (policy.to_dict(), item.plan.kept):
                news[item.directory] = set_record.Consolidated(now, policy.to_dict(), item.plan.kept)
    if news and not environment.check_mode:
        try:
            backup_set.record_consolidation(news, policy.timezone)
        except BackupError as error:
            return False, (
                "All volumes were worked on as the result says, but what was kept of them could not be noted for the "
                f"guards of the next consolidation: {error.message}"
            )
    return bool(news), None


def _differences(done: t.Iterable[Consolidated]) -> tuple[str, str]:
    before: list[str] = []
    after: list[str] = []
    for item in done:
        was, becomes = difference(str(item.volume), item.plan)
        before += was
        after += was if item.error else becomes
    return "".join(f"{line}\n" for line in before), "".join(f"{line}\n" for line in after)
