# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the worked examples of the retention rule, vectors/retention.json.

``expect_full`` and ``expect_reexport`` are for the consolidation plan: all snapshots of a vector having been exported
as one chain before, they name the oldest kept restore point and those whose predecessor changed.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import pathlib
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._names import parse_utc, snapshot_name
from ansible_collections.rbd_backup.gfs.plugins.module_utils._retention import RestorePoint

FILE = pathlib.Path(__file__).parent / "vectors" / "retention.json"


@dataclasses.dataclass(frozen=True)
class Vector:
    """One worked example. Restore points are given by their snapshot names; None: the example does not say."""

    name: str
    now: dt.datetime
    points: tuple[RestorePoint, ...]
    policy: dict[str, t.Any]  # as a user writes it, for Policy.from_options
    refused: bool
    keep: tuple[str, ...]
    reasons: dict[str, tuple[str, ...]]
    full: str | None
    reexport: tuple[str, ...] | None

    def __str__(self) -> str:
        return self.name


def load() -> list[Vector]:
    """Return all vectors. Those without a time zone mean UTC."""
    return [_vector(raw) for raw in json.loads(FILE.read_text(encoding="utf-8"))["vectors"]]


def by_name(name: str) -> Vector:
    """Return the vector called *name*."""
    return next(vector for vector in load() if vector.name == name)


def name_of(time: str) -> str:
    """Return the snapshot name for a time as the vectors write it."""
    return snapshot_name("gfs", parse_utc(time))


def _vector(raw: dict[str, t.Any]) -> Vector:
    policy = {"timezone": "UTC", **raw["policy"]}
    if "tz" in policy:
        policy["timezone"] = policy.pop("tz")
    points = tuple(
        RestorePoint(
            name=name_of(time),
            time=parse_utc(time),
            protected=time in raw.get("protected", ()),
            condition="bad" if time in raw.get("invalid", ()) else "good",
        )
        for time in raw["snapshots"]
    )
    return Vector(
        name=raw["name"],
        now=parse_utc(raw["now"]),
        points=points,
        policy=policy,
        refused=raw.get("expect_error", False),
        keep=tuple(map(name_of, raw["expect_keep"])),
        reasons={name_of(time): tuple(reasons) for time, reasons in raw.get("expect_reasons", {}).items()},
        full=name_of(raw["expect_full"]) if "expect_full" in raw else None,
        reexport=tuple(map(name_of, raw["expect_reexport"])) if "expect_reexport" in raw else None,
    )
