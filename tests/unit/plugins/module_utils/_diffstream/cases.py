# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts the cases that the random and exhaustive tests run."""

from __future__ import annotations

import os

SOAK = bool(os.environ.get("RBD_SOAK"))

_count = [0]


def count(number: int = 1) -> None:
    """Another *number* of cases ran."""
    _count[0] += number


def total() -> int:
    """The cases run so far in this process."""
    return _count[0]
