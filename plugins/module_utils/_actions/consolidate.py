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
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.census import (
    Census,
    Seen,
    read_volume,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.each_volume import (
    check_parallel,
    failure,
    for_each_volume,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.environment import Environment, Outcome
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.volumes import volumes_from_options
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.backup_set import BackupSet
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.codec import compressor
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.lock import VolumeLock
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.problems import DAMAGED
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.proof import load_proof, save_proof
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.set_record import Consolidated
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.verify import hash_archive
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.volume_directory import VolumeDirectory
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import (
    ArchiveError,
    BackupError,
    InvalidInput,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Archive, Identity, Snapshot, Volume
from ansible_collections.rbd_backup.gfs.plugins.module_utils._names import check_prefix
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.backup import Export, Holdings
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.consolidation import (
    ConsolidationPlan,
    plan_consolidation,
    repairs,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.guards import objection
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.table import difference, table
from ansible_collections.rbd_backup.gfs.plugins.module_utils._retention import Policy

_NEVER_BACKED_UP = "Nothing is removed: no archive of this volume was ever made. Run the backup first."


@dataclasses.dataclass
class _Done:
    """What became of one volume. ``directory`` is its path within the set; ``error`` is what stopped it.

    ``damage`` is what was found in it and is not as it should be; ``repairs`` are the exports that would make an
    archive that stays once more, by its file. ``changed``: something was made or removed, or would be in check mode.
    """

    volume: Volume
    plan: ConsolidationPlan
    directory: str | None = None
    error: Exception | None = None
    damage: list[str] = dataclasses.field(default_factory=list)
    changed: bool = False
    repairs: dict[str, Export] = dataclasses.field(default_factory=dict)

    def to_dict(self) -> dict[str, t.Any]:
        return {"namespace": self.volume.namespace, "claim": self.volume.claim, **self.plan.to_dict()}


def run(environment: Environment) -> Outcome:
    """Carry out the module ``gfs_consolidate``. Raises BackupError before anything is touched."""
    options = environment.options
    parallel = check_parallel(options)
    volumes = volumes_from_options(options["volumes"])
    check_prefix(options["prefix"])
    # refuses what cannot be
    compressor(options["compression"], options["compression_level"], options["compression_threads"])
    _check_numbers(options)
    backup_set = open_set(options, environment.ceph().fsid())
    policy = _policy(options, backup_set)
    census = Census(environment.ceph(), volumes)
    work = _Consolidation(environment, backup_set, policy, census)
    done, failures = for_each_volume(volumes, work, parallel)
    failures += [failure(item.volume, item.error) for item in done if item.error]
    recorded, fatal = _record(environment, backup_set, policy, done)
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
        fatal=fatal,
    )


class _Consolidation:
    """Consolidates one volume."""

    def __init__(
        self, environment: Environment, backup_set: BackupSet, policy: Policy, census: Census
    ) -> None:
        self._options = environment.options
        self._check_mode = environment.check_mode
        self._ceph = environment.ceph()
        self._as_of = environment.time()
        self._now = environment.now()
        self._set = backup_set
        self._scan = backup_set.scan()
        self._policy = policy
        self._census = census

    def __call__(self, volume: Volume) -> _Done:
        seen = self._census.look(volume)
        volume = dataclasses.replace(volume, identity=seen.identity)
        directory = self._scan.find(seen.identity)
        if directory is None:
            return _Done(volume, ConsolidationPlan((), (), (), (), (), (), _NEVER_BACKED_UP))
        if self._check_mode:
            done = self._plan(volume, seen, directory)
            done.changed = done.error is None and not done.plan.is_empty
            return done
        with VolumeLock(directory.path):
            directory.clean_temporaries()
            done = self._plan(volume, seen, directory)
            if not done.plan.is_empty:
                seen = read_volume(volume, self._ceph)[0]
                done = self._plan(volume, seen, directory)
            if done.error is None:
                try:
                    self._carry_out(done, seen.identity, directory)
                except Exception as error:  # the plan is reported along with it
                    done.error = error
            return done

    def _plan(self, volume: Volume, seen: Seen, directory: VolumeDirectory) -> _Done:
        prefix = self._options["prefix"]
        snapshots = ours(seen.snapshots, prefix)
        holdings, damage = holdings_of(directory, seen.identity, snapshots, prefix)
        pinned = frozenset(load_proof(directory.path).pins)
        plan = self._plan_with(volume, holdings, pinned)
        clones = {s.name for s in plan.remove_snapshots if self._ceph.has_clones(volume.spec, s)}
        if clones:
            damage += [
                f"Snapshot {name} of volume {volume} has clones and is kept." for name in sorted(clones)
            ]
            plan = self._plan_with(volume, holdings, pinned | clones)
        key = self._set.key(directory)
        last = None if self._options["accept_policy_change"] else self._set.consolidated.get(key)
        why_not = objection(
            plan,
            self._policy,
            self._as_of,
            (last.policy, last.kept) if last else None,
            self._options["minimum_kept_share"],
        )
        done = _Done(volume, plan, key, BackupError(why_not) if why_not else None, damage)
        done.repairs = repairs(holdings, plan.chain)
        return done

    def _plan_with(self, volume: Volume, holdings: Holdings, kept: frozenset[str]) -> ConsolidationPlan:
        has_parent = parent_lookup(volume.spec, self._ceph)
        return plan_consolidation(holdings, self._policy, self._as_of, has_parent, kept)

    def _carry_out(self, done: _Done, identity: Identity, directory: VolumeDirectory) -> None:
        """Do the steps of the plan, in the order in which nothing can be lost: make, prove, retire, remove."""
        plan, volume = done.plan, done.volume
        exporter = Exporter(self._ceph, volume, identity, directory, self._options)
        made = []
        for export in plan.exports:
            made.append(exporter.write(export, prove=True).archive)
            done.changed = True
        if plan.remove_archives or plan.remove_snapshots:
            self._prove(directory, exporter, done, made)
            directory.check_removal()
            self._retire(directory, plan.remove_snapshots)
            done.changed = True
        for archive in plan.remove_archives:
            directory.remove_archive(archive)
        for snapshot in plan.remove_snapshots:
            directory.check_removal()
            self._ceph.remove_snapshot(volume.spec, snapshot.id)
        self._settle(directory, volume)

    def _prove(
        self, directory: VolumeDirectory, exporter: Exporter, done: _Done, made: list[Archive]
    ) -> None:
        """Make sure that every archive that stays was read from disk and found right not long ago."""
        proof = load_proof(directory.path)
        for archive in made:
            proof.record_hashed(archive, self._now)
        oldest = self._now - dt.timedelta(days=self._options["proof_max_age"])
        for archive in done.plan.chain:
            hashed_at = proof.hashed_at(archive)
            # a date of the future is of a clock that was wrong, and proves nothing
            if hashed_at is None or not oldest <= hashed_at <= self._now:
                proof.record_hashed(self._hash_or_export_again(directory, exporter, done, archive), self._now)
        save_proof(directory.path, proof)

    def _hash_or_export_again(
        self, directory: VolumeDirectory, exporter: Exporter, done: _Done, archive: Archive
    ) -> Archive:
        try:
            hash_archive(directory.path, archive)
            return archive
        except ArchiveError as error:
            export = done.repairs.get(archive.file)
            if error.details.get("kind") != DAMAGED or export is None:
                raise
            done.damage.append(f"{error.message} It was exported again.")
            done.changed = True
            written = exporter.write(export, prove=True).archive
            if written.file != archive.file:  # compressed in another way by now
                directory.remove_archive(archive)
            return written

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
    environment: Environment, backup_set: BackupSet, policy: Policy, done: t.Iterable[_Done]
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
                news[item.directory] = Consolidated(now, policy.to_dict(), item.plan.kept)
    if news and not environment.check_mode:
        try:
            backup_set.record_consolidation(news, policy.timezone)
        except BackupError as error:
            return False, (
                "All volumes were worked on as the result says, but what was kept of them could not be noted for the "
                f"guards of the next consolidation: {error.message}"
            )
    return bool(news), None


def _differences(done: t.Iterable[_Done]) -> tuple[str, str]:
    before: list[str] = []
    after: list[str] = []
    for item in done:
        was, becomes = difference(str(item.volume), item.plan)
        before += was
        after += was if item.error else becomes
    return "".join(f"{line}\n" for line in before), "".join(f"{line}\n" for line in after)
