# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ages and sizes as people read them. Pure."""

from __future__ import annotations


def age(seconds: int) -> str:
    """Write an age in seconds in its two largest units, e.g. ``3d 4h``."""
    sign, minutes = ("-" if seconds < 0 else ""), abs(seconds) // 60
    hours, days = minutes // 60, minutes // 1440
    if days:
        return f"{sign}{days}d {hours % 24}h"
    return f"{sign}{hours}h {minutes % 60}m"


def size(count: int) -> str:
    """Write a number of bytes, e.g. ``1.5 GiB``."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
