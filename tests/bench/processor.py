# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose processor time the whole machine spends while something is done."""

from __future__ import annotations

import collections
import dataclasses
import os
import pathlib
import time
import typing as t

_TICKS = os.sysconf("SC_CLK_TCK")
_CEPH = ("ceph-",)
_KUBERNETES = ("kube", "etcd", "containerd", "runc")
_SHIM = "containerd-shim"
_IDLE = (3, 4)  # idle and waiting for a disk, of the first line of /proc/stat
_BUSY = (0, 1, 2, 5, 6)


@dataclasses.dataclass(frozen=True)
class Spent:
    """Seconds of all processors, by whose they are; ``idle`` and ``rest`` (the kernel, and what else runs) included."""

    wall: float
    by: t.Mapping[str, float]

    def __str__(self) -> str:
        parts = ", ".join(f"{who} {seconds:.1f}" for who, seconds in self.by.items() if seconds >= 0.05)
        return f"{self.wall:.1f} s: {parts}"


def spent_by(do: t.Callable[[], t.Mapping[str, float]]) -> Spent:
    """Call *do*, which says whose processor time the commands took that it ran itself."""
    before, started = _now(), time.monotonic()
    own = do()
    wall, after = time.monotonic() - started, _now()
    by = {**own, **{who: after[who] - before[who] for who in ("in the pod", "Ceph", "Kubernetes")}}
    by["rest"] = max(0.0, after["busy"] - before["busy"] - sum(by.values()))
    by["idle"] = after["idle"] - before["idle"]
    return Spent(wall, by)


def _now() -> collections.Counter[str]:
    found: collections.Counter[str] = collections.Counter()
    line = [int(word) / _TICKS for word in pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[1:]]
    found["busy"], found["idle"] = sum(line[place] for place in _BUSY), sum(line[place] for place in _IDLE)
    for directory in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            said = (directory / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        name = said[said.index("(") + 1 : said.rindex(")")]
        own_user, own_system, reaped_user, reaped_system = (
            int(word) / _TICKS for word in said[said.rindex(")") + 2 :].split()[11:15]
        )
        if name.startswith(_CEPH):
            found["Ceph"] += own_user + own_system
        elif name.startswith(_KUBERNETES):
            found["Kubernetes"] += own_user + own_system
            if name.startswith(_SHIM):  # which reaps what ran in its pod
                found["in the pod"] += reaped_user + reaped_system
    return found
