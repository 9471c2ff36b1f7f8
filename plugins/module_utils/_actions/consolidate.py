# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Apply retention to the restore points of every volume."""

from __future__ import annotations

import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.backup_set import open_set, set_path
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.census import Census
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.consolidate_volume import (
    VolumeConsolidation,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.consolidated import Consolidated, Means
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.each_volume import (
    check_parallel,
    for_each_volume,
    writing_failure,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.environment import Environment, Outcome
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.pacing import RemovalPace
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.room import Room
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.unused_volumes import (
    Unused,
    choose_unused,
    find_unused,
    remove_unused,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.volumes import volumes_from_options
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive import set_record
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.backup_set import BackupSet
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.codec import compressor
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.scan import Scan
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import BackupError, InvalidInput
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Volume
from ansible_collections.rbd_backup.gfs.plugins.module_utils._names import check_prefix
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.table import (
    difference,
    peak_line,
    table,
    unused_lines,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._retention import Policy


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
    pace = _pace(environment, ceph.trimming_pgs)
    backup_set = open_set(options, ceph.fsid(), accept_prefix=options["accept_policy_change"])
    policy = _policy(options, backup_set)
    means = Means(ceph, options, environment.now(), pace, Room())
    scan, census = backup_set.scan(), Census(ceph, volumes)
    unused, to_remove = _unused_among(environment, backup_set, scan, census, volumes)
    work = VolumeConsolidation(environment, backup_set, scan, policy, means, census)
    done, failures = for_each_volume(volumes, work, parallel, writing_failure)
    failures += [writing_failure(item.volume, item.error) for item in done if item.error]
    failures += [writing_failure(item.volume, item.error) for item in unused if item.error]
    failures += _remove(environment, [item for item in to_remove if not item.error], means)
    recorded, fatal = _record(environment, backup_set, policy, done)
    before, after = _differences(done, unused)
    extra = sorted((item.plan.extra_bytes for item in done if not item.error), reverse=True)
    peak = sum(extra[:parallel])
    return Outcome(
        changed=recorded or any(item.changed for item in done) or any(item.changed for item in unused),
        values={
            "backup_set": set_path(options),
            "plans": [{**item.what, **item.plan.to_dict()} for item in done],
            "table": [
                *(line for item in done for line in table(str(item.volume), item.plan)),
                *(line for item in unused for line in unused_lines(item.to_dict())),
                *([peak_line(peak, parallel)] if peak else []),
            ],
            "archives": [archive for item in done for archive in item.made],
            "peak_extra_bytes": peak,
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


def _unused_among(
    environment: Environment,
    backup_set: BackupSet,
    scan: Scan,
    census: Census,
    volumes: t.Iterable[Volume],
) -> tuple[list[Unused], list[Unused]]:
    """The volumes of the set that are not among *volumes*, and those of them that the user named for removal.

    Raises InvalidInput where one must not go.
    """
    used, complete = set(), environment.options["volumes_complete"]
    for volume in volumes:
        try:
            used.add(census.look(volume).identity)
        except BackupError:  # its directory may be any
            complete = False
    unused = find_unused(backup_set, scan, used)
    wanted = environment.options["remove_unused_volumes"]
    return unused, choose_unused(backup_set, unused, wanted, complete and not scan.problems)


def _remove(environment: Environment, unused: t.Iterable[Unused], means: Means) -> list[dict[str, t.Any]]:
    """Remove these *unused* volumes, and return the failures."""
    failures = []
    for item in unused:
        try:
            remove_unused(item, means, environment.check_mode)
        except Exception as error:  # the others must go on, whatever it was
            failures.append(writing_failure(item.volume, error))
    return failures


def _pace(environment: Environment, trimming: t.Callable[[], int]) -> RemovalPace:
    """The pace of the run. In check mode nobody waits, and nobody asks how busy the cluster is now."""
    options = environment.options
    numbers = (
        options["max_snapshot_removals"],
        options["snapshot_removals_per_second"],
        options["max_snaptrim_pgs"],
    )
    if environment.check_mode:
        return RemovalPace(*numbers, trimming=lambda: 0, wait=lambda _seconds: None)
    return RemovalPace(*numbers, trimming)


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
    is_news = bool(news) or backup_set.prefix != backup_set.recorded_prefix
    if is_news and not environment.check_mode:
        try:
            backup_set.record_consolidation(news, policy.timezone)
        except BackupError as error:
            return False, (
                "All volumes were worked on as the result says, but what was kept of them could not be noted for the "
                f"guards of the next consolidation: {error.message}"
            )
    return is_news, None


def _differences(done: t.Iterable[Consolidated], unused: t.Iterable[Unused]) -> tuple[str, str]:
    before: list[str] = []
    after: list[str] = []
    for item in done:
        was, becomes = difference(str(item.volume), item.plan)
        before += was
        after += was if item.error else becomes
    for entry in unused:
        before += [
            f"{entry.directory.path} {name}" for name in (*entry.remove_archives, *entry.remove_snapshots)
        ]
    return "".join(f"{line}\n" for line in before), "".join(f"{line}\n" for line in after)
