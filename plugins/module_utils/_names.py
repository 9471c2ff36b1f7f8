# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshot names and UTC times as text. Pure.

A snapshot of ours is named ``<prefix>-<UTC time>``, e.g. ``gfs-20261123T170000Z``. The time in the name is the only
time that is trusted: ``rbd snap ls`` prints local time without a zone.
"""

from __future__ import annotations

import datetime as dt
import functools
import re

from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import InvalidInput

_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_STAMP = "%Y%m%dT%H%M%SZ"
_ISO = "%Y-%m-%dT%H:%M:%SZ"


def check_prefix(prefix: str) -> str:
    """Return *prefix* when snapshots may be named after it; raise InvalidInput otherwise."""
    if not _PREFIX.fullmatch(prefix):
        raise InvalidInput(
            f"The snapshot prefix {prefix!r} cannot be used: 1 to 32 letters, digits, '-' or '_', "
            "beginning with a letter or a digit."
        )
    return prefix


def snapshot_name(prefix: str, time: dt.datetime) -> str:
    """Name the snapshot that is taken at *time* (any zone; whole seconds are kept)."""
    return f"{check_prefix(prefix)}-{time.astimezone(dt.timezone.utc).strftime(_STAMP)}"


# the volumes of a run share most of their snapshots' names
@functools.lru_cache(maxsize=4096)
def snapshot_time(prefix: str, name: str) -> dt.datetime | None:
    """Return the UTC time in a snapshot's *name*, or None when the name is not exactly of our pattern."""
    stamp = name[len(prefix) + 1 :]
    if name[: len(prefix) + 1] != f"{prefix}-" or not re.fullmatch(r"\d{8}T\d{6}Z", stamp, re.ASCII):
        return None
    try:
        return dt.datetime.strptime(stamp, _STAMP).replace(tzinfo=dt.timezone.utc)
    except ValueError:
        return None


def format_utc(time: dt.datetime) -> str:
    """Write *time* as ISO 8601 in UTC with whole seconds, e.g. ``2026-11-23T17:00:00Z``."""
    return time.astimezone(dt.timezone.utc).strftime(_ISO)


def parse_utc(text: str) -> dt.datetime:
    """Read what :func:`format_utc` wrote; an explicit UTC offset is accepted, a time without a zone is not."""
    try:
        time = dt.datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise InvalidInput(f"{text!r} is not a time: write it in UTC, e.g. 2026-11-23T17:00:00Z.")
    return time.astimezone(dt.timezone.utc).replace(microsecond=0)
