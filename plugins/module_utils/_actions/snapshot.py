# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take a live snapshot of every volume, all of one name, or remove the snapshots of one name."""

from __future__ import annotations

import dataclasses
import datetime as dt
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.census import (
    Census,
    Seen,
    read_volume,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.each_volume import (
    check_parallel,
    for_each_volume,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.environment import Environment, Outcome
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.volumes import (
    prove_identity,
    volumes_from_options,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.rbd import RbdClient
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import BackupError, InvalidInput
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Snapshot, Volume
from ansible_collections.rbd_backup.gfs.plugins.module_utils._names import (
    check_prefix,
    format_utc,
    snapshot_name,
    snapshot_time,
)

# ceph-csi refuses to work on an image with 450 snapshots, kernel clients map none with more than 510: stay well below.
MAX_SNAPSHOTS_OF_ALL_KINDS = 400


@dataclasses.dataclass(frozen=True)
class _Done:
    volume: Volume
    snapshot: str
    changed: bool
    age: float | None = None
    warning: str | None = None

    def to_dict(self) -> dict[str, t.Any]:
        result: dict[str, t.Any] = {
            "namespace": self.volume.namespace,
            "claim": self.volume.claim,
            "image": str(self.volume.spec),
            "snapshot": self.snapshot,
        }
        if self.age is not None:
            result["age"] = self.age
        return result


def run(environment: Environment) -> Outcome:
    """Carry out the module ``rbd_snapshot``. Raises BackupError before anything is touched."""
    options = environment.options
    parallel = check_parallel(options)
    volumes = volumes_from_options(options["volumes"])
    prefix = check_prefix(options["prefix"])
    work: t.Callable[[Volume], _Done]
    if options["state"] == "absent":
        name = options["name"]
        if snapshot_time(prefix, name) is None:
            raise InvalidInput(
                f"{name!r} is not a snapshot name of this set ({prefix}-YYYYMMDDTHHMMSSZ): no other snapshot is ever "
                "removed. Nothing was touched."
            )
        work = _Remover(environment, Census(environment.ceph(), volumes), name)
    else:
        work = _creator(environment, Census(environment.ceph(), volumes), prefix)
        name = work.name
    done, failures = for_each_volume(volumes, work, parallel)
    changed = [item for item in done if item.changed]
    return Outcome(
        changed=bool(changed),
        values={
            "snapshot": name if changed else None,
            "created": [item.to_dict() for item in changed if options["state"] == "present"],
            "removed": [item.to_dict() for item in changed if options["state"] == "absent"],
            "unchanged": [item.to_dict() for item in done if not item.changed],
        },
        failures=failures,
        warnings=[item.warning for item in done if item.warning],
        diff=_diff(changed, options["state"]),
    )


def _creator(environment: Environment, census: Census, prefix: str) -> _Creator:
    options = environment.options
    time = environment.time()
    if time > environment.now() and not options["allow_future"]:
        raise InvalidInput(
            f"The time {format_utc(time)} lies in the future, and a snapshot of the future would stand outside "
            "retention until then. Set allow_future if it is meant. Nothing was touched."
        )
    if not 1 <= options["max_snapshots"] <= MAX_SNAPSHOTS_OF_ALL_KINDS:
        raise InvalidInput(
            f"max_snapshots is {options['max_snapshots']}: it must be from 1 to {MAX_SNAPSHOTS_OF_ALL_KINDS}, because "
            "ceph-csi and kernel clients stop working on images with more. Nothing was touched."
        )
    if options["min_interval"] < 0:
        raise InvalidInput(
            f"min_interval is {options['min_interval']}: it cannot be negative. Nothing was touched."
        )
    return _Creator(environment, census, prefix, time)


class _Creator:
    """Creates the snapshot of one volume."""

    def __init__(self, environment: Environment, census: Census, prefix: str, time: dt.datetime) -> None:
        self.name = snapshot_name(prefix, time)
        self._ceph = environment.ceph()
        self._census = census
        self._check_mode = environment.check_mode
        self._prefix = prefix
        self._time = time
        self._min_interval = environment.options["min_interval"]
        self._max_snapshots = environment.options["max_snapshots"]

    def __call__(self, volume: Volume) -> _Done:
        seen = self._census.look(volume)
        volume, listed = dataclasses.replace(volume, identity=seen.identity), seen.snapshots
        ours = {s.name: time for s in listed for time in [snapshot_time(self._prefix, s.name)] if time}
        if ours:
            newest = max(ours, key=ours.__getitem__)
            age = (self._time - ours[newest]).total_seconds()
            if 0 <= age < self._min_interval:
                return _Done(volume, newest, False, age)
            if age <= 0:
                raise BackupError(
                    f"Volume {volume} already has snapshot {newest}, which is not older than {self.name}: snapshots "
                    "are taken in the order of their times. No snapshot was taken of it. Is the clock right?"
                )
        # only this counts the snapshots of all kinds, and another image may bear the name by now
        info = prove_identity(volume, self._ceph)[1]
        warning = self._check_room(volume, max(info.snapshot_count, len(listed)), len(ours))
        if not self._check_mode:
            self._ceph.create_snapshot(volume.spec, self.name)
        return _Done(volume, self.name, True, warning=warning)

    def _check_room(self, volume: Volume, everything: int, ours: int) -> str | None:
        advice = "Consolidate, or raise max_snapshots."
        if ours >= self._max_snapshots:
            raise BackupError(
                f"Volume {volume} has {ours} snapshots of this set, and max_snapshots is {self._max_snapshots}. "
                f"No snapshot was taken of it. {advice}"
            )
        if everything >= MAX_SNAPSHOTS_OF_ALL_KINDS:
            raise BackupError(
                f"Volume {volume} has {everything} snapshots of all kinds; ceph-csi and kernel clients stop working "
                f"on images with many more than {MAX_SNAPSHOTS_OF_ALL_KINDS}. No snapshot was taken of it. Remove some."
            )
        if ours + 1 >= self._max_snapshots / 2 or everything + 1 >= MAX_SNAPSHOTS_OF_ALL_KINDS / 2:
            return (
                f"Volume {volume} has {everything + 1} snapshots, {ours + 1} of them of this set; max_snapshots is "
                f"{self._max_snapshots}. {advice}"
            )
        return None


class _Remover:
    """Removes the snapshot of exactly one name from one volume."""

    def __init__(self, environment: Environment, census: Census, name: str) -> None:
        self._ceph: RbdClient = environment.ceph()
        self._census = census
        self._check_mode = environment.check_mode
        self._name = name

    def __call__(self, volume: Volume) -> _Done:
        found = self._named(self._census.look(volume))
        if found:
            found = self._named(read_volume(volume, self._ceph))
        for snapshot in found:
            self._remove(volume, snapshot)
        return _Done(volume, self._name, bool(found))

    def _named(self, seen: Seen) -> list[Snapshot]:
        return [snapshot for snapshot in seen.snapshots if snapshot.name == self._name]

    def _remove(self, volume: Volume, snapshot: Snapshot) -> None:
        if snapshot.protected or self._ceph.has_clones(volume.spec, snapshot):
            raise BackupError(
                f"Snapshot {snapshot.name} of volume {volume} is protected or has clones, so that somebody needs it: "
                "it was kept. Look at 'rbd children' and 'rbd snap unprotect' if it may go."
            )
        if not self._check_mode:
            self._ceph.remove_snapshot(volume.spec, snapshot.id)


def _diff(changed: list[_Done], state: str) -> dict[str, str]:
    lines = "".join(f"{item.volume} {item.snapshot}\n" for item in changed)
    return {"before": "", "after": lines} if state == "present" else {"before": lines, "after": ""}
