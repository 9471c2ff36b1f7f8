# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``backup-set.json``: what is recorded of a backup set as a whole."""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
import typing as t
import uuid

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive import names
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.fields import Fields
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.files import (
    atomic_write_json,
    read_json,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._names import format_utc

FORMAT = 1


@dataclasses.dataclass(frozen=True)
class Consolidated:
    """The last completed consolidation of one volume: when, by which policy, how many restore points stayed."""

    time: dt.datetime
    policy: t.Mapping[str, t.Any]
    kept: int


@dataclasses.dataclass(frozen=True)
class SetRecord:
    """A backup set: ``set_id`` is a UUID given once, ``timezone`` the zone whose days retention counts (IANA name).

    ``consolidated`` is by volume directory, relative to the set.
    """

    set_id: str
    fsid: str
    prefix: str
    timezone: str
    created: dt.datetime
    consolidated: t.Mapping[str, Consolidated] = dataclasses.field(default_factory=dict)


def new_record(fsid: str, prefix: str, timezone: str) -> SetRecord:
    """The record of a set that is made now."""
    now = dt.datetime.now(dt.timezone.utc).replace(microsecond=0)
    return SetRecord(str(uuid.uuid4()), fsid, prefix, timezone, now)


def write_record(path: str, record: SetRecord) -> None:
    """Write the record of the set in the directory *path*. Raises ArchiveError (UNWRITABLE)."""
    atomic_write_json(
        os.path.join(path, names.SET_FILE),
        {
            "format": FORMAT,
            "set_id": record.set_id,
            "fsid": record.fsid,
            "prefix": record.prefix,
            "timezone": record.timezone,
            "created": format_utc(record.created),
            "consolidated": {
                volume: {"time": format_utc(one.time), "policy": dict(one.policy), "kept": one.kept}
                for volume, one in sorted(record.consolidated.items())
            },
        },
        "What was recorded of the backup set before was left untouched.",
    )


def read_record(path: str) -> SetRecord:
    """Read the record of the set in the directory *path*. Raises ArchiveError (MISSING, UNREADABLE, DAMAGED)."""
    file = os.path.join(path, names.SET_FILE)
    fields = Fields(read_json(file), file)
    fields.check_format(FORMAT)
    consolidated = fields.part("consolidated")
    return SetRecord(
        set_id=fields.text("set_id"),
        fsid=fields.text("fsid"),
        prefix=fields.text("prefix"),
        timezone=fields.text("timezone"),
        created=fields.time("created"),
        consolidated={volume: _read_consolidated(consolidated.part(volume)) for volume in consolidated},
    )


def _read_consolidated(fields: Fields) -> Consolidated:
    return Consolidated(fields.time("time"), fields.mapping("policy"), fields.number("kept"))
