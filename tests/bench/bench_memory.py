# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The most memory that the module's process uses for a large sparse image."""

from __future__ import annotations

import typing as t

from ansible_collections.rbd_backup.gfs.tests.bench.lab import MIB, SNAPSHOT, Bench
from ansible_collections.rbd_backup.gfs.tests.bench.timing import Line

_SIZE = 64 << 30
_PIECE = 4 * MIB
_COUNT = 512
_MOST = 150 * MIB


def measure(bench: Bench, repeats: int) -> t.Iterator[Line]:
    """2 GiB of random data, spread over the image; memory hardly varies, so that *repeats* does not matter."""
    spec = bench.images.create(_SIZE)
    step = _SIZE // _COUNT
    bench.images.change(spec, *(("write", number * step, _PIECE, number) for number in range(_COUNT)))
    bench.images.rbd(spec, "snap", "create", "--no-progress", "--snap", SNAPSHOT)
    for way, threads in (("local", 0), ("local", 4), ("pod", 0)):
        peak = bench.backup([spec], way, compression_threads=threads).peak
        what = f"64 GiB with 2 GiB of data, {way}" + (f", {threads} threads" if threads else "")
        yield Line(what, f"{peak / MIB:.0f} MiB", "<= 150 MiB", peak <= _MOST)
