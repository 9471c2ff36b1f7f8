# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One image, end to end, beside a plain ``rbd export-diff`` to a file."""

from __future__ import annotations

import functools
import typing as t

from ansible_collections.rbd_backup.gfs.tests.bench.lab import MIB, Bench, files, noise
from ansible_collections.rbd_backup.gfs.tests.bench.timing import Line, in_turns

_SIZE = 1024 * MIB


def measure(bench: Bench, repeats: int) -> t.Iterator[Line]:
    """Files as a file system holds them, and what cannot be compressed."""
    for kind, content in (("files", files), ("noise", noise)):
        spec = bench.image_of(content, _SIZE)
        times = in_turns(
            repeats,
            {
                "rbd": functools.partial(bench.rbd_export, spec),
                "ours": functools.partial(bench.backup, [spec]),
                "level 1": functools.partial(bench.backup, [spec], compression_level=1),
            },
        )
        yield times.line(f"1 GiB of {kind}, the whole process", "ours", "rbd", 1.10)
        yield times.line(f"1 GiB of {kind}, with level 1", "level 1", "rbd")
        bench.clear()
