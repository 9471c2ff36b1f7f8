# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Eight images in parallel beside a shell loop of ``rbd export-diff``, and beside Benji."""

from __future__ import annotations

import functools
import typing as t

from ansible_collections.rbd_backup.gfs.tests.bench import benji
from ansible_collections.rbd_backup.gfs.tests.bench.lab import MIB, SNAPSHOT, Bench, files, noise
from ansible_collections.rbd_backup.gfs.tests.bench.timing import Line, in_turns

_SIZE = 256 * MIB
_COUNT = 8


def measure(bench: Bench, repeats: int) -> t.Iterator[Line]:
    """Half of the images hold files, half of them noise."""
    specs = [bench.image_of((files, noise)[number % 2], _SIZE) for number in range(_COUNT)]

    def loop() -> None:
        for spec in specs:
            bench.rbd_export(spec)

    ways: dict[str, t.Callable[[], object]] = {
        "loop": loop,
        "ours": lambda: bench.backup(specs),
        "four at a time": lambda: bench.backup(specs, parallel=4),
    }
    before: dict[str, t.Callable[[], object]] = {}
    other, why_not = benji.prepare(bench.directory)
    if other:
        ways["benji"] = functools.partial(other.backup, specs, SNAPSHOT)
        before["benji"] = other.forget
    times = in_turns(repeats, ways, before)
    what = f"{_COUNT} x {_SIZE // MIB} MiB"
    yield times.line(f"{what}, two at a time", "ours", "loop", 1.0)
    yield times.line(f"{what}, four at a time", "four at a time", "loop", 1.0)
    if other:
        yield times.line(f"{what}, Benji {benji.VERSION}", "ours", "benji", 1 / 3)
    else:
        yield Line(f"{what}, Benji {benji.VERSION}", f"not available: {why_not}", "<= 0.33x")
