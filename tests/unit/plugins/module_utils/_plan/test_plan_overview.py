# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The overview reads well: ages, sizes, and a line for everything."""

from __future__ import annotations

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.overview import orphan, overview
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.units import age, size


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0h 0m"), (3599, "0h 59m"), (86399, "23h 59m"), (90000, "1d 1h"), (-7200, "-2h 0m")],
)
def test_ages(seconds: int, text: str) -> None:
    assert age(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (1 << 30, "1.0 GiB"), (3 << 42, "12.0 TiB")],
)
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text


def test_a_line_for_everything() -> None:
    point = {
        "name": "gfs-20261123T170000Z",
        "age_seconds": 90000,
        "kind": "full",
        "chain": 1,
        "stored_bytes": 2048,
        "keep": True,
        "reasons": ["daily 1/7"],
        "hashed": "2026-11-24T00:00:00Z",
        "replayed": None,
        "compared": None,
    }
    entry = {
        "directory": "/b",
        "used": False,
        "overdue": False,
        "stored_bytes": 2048,
        "restore_points": [point, {**point, "chain": None}],
        "problems": ["Archive x is missing."],
        "temporaries": [".tmp-1"],
    }
    assert overview("shop/db", entry) == [
        "shop/db: 2 restore points, 2.0 KiB, used by no workload",
        "  gfs-20261123T170000Z     1d 1h  full  chain 1  2.0 KiB  keep  daily 1/7  hashed 2026-11-24T00:00:00Z",
        "  gfs-20261123T170000Z     1d 1h  LOST",
        "  Archive x is missing.",
        "  left by a dead run: .tmp-1",
    ]
    never = {
        **entry,
        "directory": None,
        "used": True,
        "overdue": True,
        "restore_points": [],
        "problems": [],
        "temporaries": [],
    }
    assert overview("shop/db", never) == ["shop/db: never backed up, OVERDUE"]


def test_an_orphan_says_where_it_is() -> None:
    entry = {
        "pool": "p",
        "rados_namespace": "n",
        "image": "i",
        "image_id": "1f",
        "in_trash": True,
        "snapshots": ["a", "b"],
        "directory": None,
    }
    told = "orphan: 2 snapshots of ours, image p/n/i (id 1f) in the trash, which no workload uses"
    assert orphan(entry) == told
