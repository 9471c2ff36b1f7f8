# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Apply retention to the restore points of every volume."""

from __future__ import annotations

import dataclasses
import datetime as dt
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.archiving import Exporter
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.backup_set import (
    holdings_of,
    open_set,
    ours,
    parent_lookup,
    set_path,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.each_volume import (
    failure,
    for_each_volume,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.environment import Environment, Outcome
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.volumes import (
    prove_identity,
    volumes_from_options,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.backup_set import BackupSet
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.lock import VolumeLock
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.proof import load_proof, save_proof
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.verify import hash_archive
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.volume_directory import VolumeDirectory
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import BackupError, InvalidInput
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Archive, Identity, Snapshot, Volume
from ansible_collections.rbd_backup.gfs.plugins.module_utils._names import check_prefix
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.consolidation import (
    ConsolidationPlan,
    plan_consolidation,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.guards import objection
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.table import difference, table
from ansible_collections.rbd_backup.gfs.plugins.module_utils._retention import Policy

_NEVER_BACKED_UP = "Nothing is removed: no archive of this volume was ever made. Run the backup first."


@dataclasses.dataclass
class _Done:
    """What became of one volume. ``directory`` is its path within the set; ``error`` is what stopped it.

    ``damage`` is what was found in it and is not as it should be. ``changed``: something was made or removed, or
    would be in check mode.
    """

    volume: Volume
    plan: ConsolidationPlan
    directory: str | None = None
    error: Exception | None = None
    damage: list[str] = dataclasses.field(default_factory=list)
    changed: bool = False

    def to_dict(self) -> dict[str, t.Any]:
        return {"namespace": self.volume.namespace, "claim": self.volume.claim, **self.plan.to_dict()}


def run(environment: Environment) -> Outcome:
    """Carry out the module ``gfs_consolidate``. Raises BackupError before anything is touched."""
    options = environment.options
    volumes = volumes_from_options(options["volumes"])
    check_prefix(options["prefix"])
    _check_numbers(options)
    backup_set = open_set(options, environment.ceph().fsid())
    policy = _policy(options, backup_set)
    done, failures = for_each_volume(
        volumes, _Consolidation(environment, backup_set, policy), options["parallel"]
    )
    failures += [failure(item.volume, item.error) for item in done if item.error]
    recorded = (
        not failures and not environment.check_mode and _record(backup_set, policy, done, environment.now())
    )
    before, after = _differences(done)
    return Outcome(
        changed=recorded or any(item.changed for item in done),
        values={
            "backup_set": set_path(options),
            "plans": [item.to_dict() for item in done],
            "table": [line for item in done for line in table(str(item.volume), item.plan)],
        },
        failures=failures,
        warnings=[message for item in done for message in item.damage],
        diff={"before": before, "after": after},
    )


class _Consolidation:
    """Consolidates one volume."""

    def __init__(self, environment: Environment, backup_set: BackupSet, policy: Policy) -> None:
        self._options = environment.options
        self._check_mode = environment.check_mode
        self._ceph = environment.ceph()
        self._as_of = environment.time()
        self._now = environment.now()
        self._set = backup_set
        self._scan = backup_set.scan()
        self._policy = policy

    def __call__(self, volume: Volume) -> _Done:
        identity, _info = prove_identity(volume, self._ceph)
        directory = self._scan.find(identity)
        if directory is None:
            return _Done(volume, ConsolidationPlan((), (), (), (), (), (), _NEVER_BACKED_UP))
        if self._check_mode:
            done = self._plan(volume, identity, directory)
            done.changed = done.error is None and not done.plan.is_empty
            return done
        with VolumeLock(directory.path):
            directory.clean_temporaries()
            done = self._plan(volume, identity, directory)
            if done.error is None:
                try:
                    self._carry_out(done, identity, directory)
                except Exception as error:  # the plan is reported along with it
                    done.error = error
            return done

    def _plan(self, volume: Volume, identity: Identity, directory: VolumeDirectory) -> _Done:
        prefix = self._options["prefix"]
        snapshots = ours(self._ceph.snapshots(volume.spec), prefix)
        holdings, damage = holdings_of(directory, identity, snapshots, prefix)
        plan = plan_consolidation(
            holdings,
            self._policy,
            self._as_of,
            parent_lookup(volume.spec, self._ceph),
            frozenset(load_proof(directory.path).pins),
        )
        key = self._set.key(directory)
        last = None if self._options["accept_policy_change"] else self._set.last_consolidation
        kept_before = last.kept.get(key) if last else None
        why_not = objection(plan, self._policy, self._as_of, kept_before, self._options["minimum_kept_share"])
        return _Done(volume, plan, key, BackupError(why_not) if why_not else None, damage)

    def _carry_out(self, done: _Done, identity: Identity, directory: VolumeDirectory) -> None:
        """Do the steps of the plan, in the order in which nothing can be lost: make, prove, retire, remove."""
        plan, volume = done.plan, done.volume
        exporter = Exporter(self._ceph, volume, identity, directory, self._options)
        made = []
        for export in plan.exports:
            made.append(exporter.write(export, prove=True).archive)
            done.changed = True
        if plan.remove_archives or plan.remove_snapshots:
            self._prove(directory, made, plan.chain)
            self._retire(directory, plan.remove_snapshots)
            done.changed = True
        for archive in plan.remove_archives:
            directory.remove_archive(archive)
        for snapshot in plan.remove_snapshots:
            self._ceph.remove_snapshot(volume.spec, snapshot.id)
        self._settle(directory, volume)

    def _prove(self, directory: VolumeDirectory, made: list[Archive], chain: t.Iterable[Archive]) -> None:
        proof = load_proof(directory.path)
        for archive in made:
            proof.record_hashed(archive, self._now)
        oldest = self._now - dt.timedelta(days=self._options["proof_max_age"])
        for archive in chain:
            hashed_at = proof.hashed_at(archive)
            if hashed_at is None or hashed_at < oldest:
                hash_archive(directory.path, archive)
                proof.record_hashed(archive, self._now)
        save_proof(directory.path, proof)

    def _retire(self, directory: VolumeDirectory, snapshots: t.Iterable[Snapshot]) -> None:
        proof = load_proof(directory.path)
        for snapshot in snapshots:
            proof.retire(snapshot.name, snapshot.id, self._now)
        save_proof(directory.path, proof)

    def _settle(self, directory: VolumeDirectory, volume: Volume) -> None:
        """Forget the retired snapshots that are gone from Ceph, and what was proved of archives that are gone."""
        proof = load_proof(directory.path)
        if proof.retired:
            present = {snapshot.id for snapshot in self._ceph.snapshots(volume.spec)}
            proof.forget_retired([number for number in proof.retired if number not in present])
        proof.forget_missing(directory.archives(self._options["prefix"]).archives)
        save_proof(directory.path, proof)


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
    """The policy of this run, held against that of the last consolidation and the time zone of the set."""
    policy = Policy.from_options(
        {**options["retention"], "timezone": options["timezone"] or backup_set.timezone}
    )
    last = backup_set.last_consolidation
    recorded = last.policy if last else {"timezone": backup_set.timezone}
    changed = [
        f"{key} was {recorded[key]}, now {value}"
        for key, value in policy.to_dict().items()
        if key in recorded and recorded[key] != value
    ]
    if changed and not options["accept_policy_change"]:
        raise InvalidInput(
            f"The retention policy differs from that of the last consolidation: {'; '.join(changed)}. Nothing was "
            "touched. Look at the plan (--check --diff with accept_policy_change), and set accept_policy_change if it "
            "is meant."
        )
    return policy


def _record(backup_set: BackupSet, policy: Policy, done: t.Iterable[_Done], now: dt.datetime) -> bool:
    """Note in the set what was kept by which policy, where that is news. Returns whether it was."""
    kept = {item.directory: item.plan.kept for item in done if item.directory}
    last = backup_set.last_consolidation
    if last and dict(last.policy) == policy.to_dict() and {**last.kept, **kept} == dict(last.kept):
        return False
    backup_set.record_consolidation(now, policy.to_dict(), policy.timezone, kept)
    return True


def _differences(done: t.Iterable[_Done]) -> tuple[str, str]:
    before: list[str] = []
    after: list[str] = []
    for item in done:
        was, becomes = difference(str(item.volume), item.plan)
        before += was
        after += was if item.error else becomes
    return "".join(f"{line}\n" for line in before), "".join(f"{line}\n" for line in after)
