# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Through the pod beside locally."""

from __future__ import annotations

import typing as t

from ansible_collections.rbd_backup.gfs.tests.bench.lab import MIB, Bench, files, noise
from ansible_collections.rbd_backup.gfs.tests.bench.timing import Line, in_turns

_SIZE = 1024 * MIB


def measure(bench: Bench, repeats: int) -> t.Iterator[Line]:
    """What can be compressed on its way, and what cannot."""
    for kind, content, most in (("files", files, 1.5), ("noise", noise, None)):
        spec = bench.image_of(content, _SIZE)
        times = in_turns(
            repeats,
            {
                "local": lambda spec=spec: bench.backup([spec]),  # type: ignore[misc]
                "pod": lambda spec=spec: bench.backup([spec], "pod"),  # type: ignore[misc]
            },
        )
        yield times.line(f"1 GiB of {kind} through the pod", "pod", "local", most)
        bench.clear()
