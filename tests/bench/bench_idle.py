# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup that finds nothing to do: what the directories cost, with answers of Ceph that are made up."""

from __future__ import annotations

import typing as t

from ansible_collections.rbd_backup.gfs.tests.bench.idle import idle_run
from ansible_collections.rbd_backup.gfs.tests.bench.lab import Bench
from ansible_collections.rbd_backup.gfs.tests.bench.timing import Line

_VOLUMES, _ARCHIVES, _MOST_SECONDS = 1000, 14, 10.0


def measure(bench: Bench, repeats: int) -> t.Iterator[Line]:
    """The backup action alone, without the start of Python and Ansible."""
    root = bench.path()
    root.mkdir()
    figures = idle_run(str(root), _VOLUMES, _ARCHIVES, repeats)
    seconds = figures["median_seconds"]
    yield Line(
        f"{_VOLUMES} volumes x {_ARCHIVES} archives, nothing to do",
        f"{seconds:.2f} s, {figures['ceph_commands']} Ceph commands",
        f"<= {_MOST_SECONDS:.0f} s",
        seconds <= _MOST_SECONDS,
    )
