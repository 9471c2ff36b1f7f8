# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The archive of small random writes beside the file that ``rbd export-diff`` makes of them."""

from __future__ import annotations

import random
import typing as t

from ansible_collections.rbd_backup.gfs.tests.bench.lab import MIB, SNAPSHOT, Bench
from ansible_collections.rbd_backup.gfs.tests.bench.timing import Line

_SIZE = 2048 * MIB
_WRITE = 16 << 10
_COUNT = 6000
_LATER = "gfs-20261102T000000Z"


def measure(bench: Bench, repeats: int) -> t.Iterator[Line]:
    """Random bytes at random places of an empty image; sizes do not vary, so that *repeats* does not matter."""
    spec = bench.images.create(_SIZE)
    bench.images.rbd(spec, "snap", "create", "--no-progress", "--snap", SNAPSHOT)
    places = random.Random(1).sample(range(_SIZE // _WRITE), _COUNT)
    bench.images.change(spec, *(("write", place * _WRITE, _WRITE, place) for place in places))
    bench.images.rbd(spec, "snap", "create", "--no-progress", "--snap", _LATER)
    theirs = bench.rbd_export(spec, SNAPSHOT, _LATER)
    archives = bench.backup([spec]).result["archives"]
    (ours,) = [archive["stored_bytes"] for archive in archives if archive["snapshot"] == _LATER]
    ratio = ours / theirs
    yield Line(
        f"{_COUNT * _WRITE // MIB} MiB of {_WRITE >> 10} KiB random writes",
        f"ours {ours / MIB:.0f} MiB, rbd {theirs / MIB:.0f} MiB: {ratio:.3f}x",
        "<= 0.10x",
        ratio <= 0.1,
    )
