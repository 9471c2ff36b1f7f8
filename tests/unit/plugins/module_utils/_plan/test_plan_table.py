# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people read of a consolidation plan."""

from __future__ import annotations

import dataclasses
import json
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.consolidation import (
    Wishes,
    plan_consolidation,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.table import (
    difference,
    table,
    unused_lines,
)
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._plan.simulated_volume import (
    DAY,
    ONE_DAILY,
    START,
    backed_up,
    names,
    no_parent,
)


def test_the_plan_says_what_it_reads_and_how_much_room_it_takes() -> None:
    volume = backed_up(3)
    volume.archives = [dataclasses.replace(a, stream_bytes=100, stored_bytes=10) for a in volume.archives]
    for compressed, extra in ((True, 30), (False, 300)):
        plan = plan_consolidation(
            volume.holdings(), ONE_DAILY, START + 3 * DAY, no_parent, wishes=Wishes(compressed=compressed)
        )
        data = plan.to_dict()
        assert (data["read_ceph_bytes"], data["extra_bytes"], data["freed_bytes"]) == (300, extra, 30)
    said = "\n".join(table("shop/data", plan))
    assert "reads about 300 B from Ceph and 0 B of archives, needs about 300 B more" in said
    assert said.count("10 B") == 3


def test_a_plan_is_plain_data_and_says_what_it_frees() -> None:
    volume = backed_up(3)
    plan = plan_consolidation(volume.holdings(), ONE_DAILY, START + 3 * DAY, no_parent)
    data = json.loads(json.dumps(plan.to_dict()))
    assert data["freed_bytes"] == 3
    assert data["remove_snapshots"] == names(volume)[:2]
    before, after = difference("shop/data", plan)
    first, second, newest = names(volume)
    gone = "remove, beyond 1 daily, 0 weekly, 0 monthly, frees 1 B"
    assert before == [
        f"shop/data {first}: {gone}",
        f"shop/data {second}: {gone}",
        f"shop/data {newest}: keep, daily 1/1",
    ]
    made = "full, exported from Ceph, reads about 3 B (the oldest restore point that stays)"
    assert after == [
        f"shop/data {newest}: keep, daily 1/1 [{made}]",
        "shop/data: reads about 3 B from Ceph and 0 B of archives, needs about 3 B more on disk until it has freed 3 B",
    ]


def test_what_is_retired_and_ceph_would_not_give_up_stays_in_the_diff_and_waits_in_the_table() -> None:
    volume = backed_up(3)
    first, second, newest = volume.snapshots
    volume.snapshots[0] = dataclasses.replace(first, protected=True)
    volume.retired = {first.id, second.id}
    del volume.archives[:2]
    plan = plan_consolidation(volume.holdings(), ONE_DAILY, START + 3 * DAY, no_parent)
    assert plan.remove_snapshots == (second,)
    rows = table("shop/data", plan)
    assert [row.split()[1] for row in rows if row.split()[0] in (first.name, second.name)] == [
        "waits",
        "remove",
    ]
    before, after = difference("shop/data", plan)
    assert [line.split()[1] for line in before] == [f"{name}:" for name in names(volume)]
    assert [line.split()[1] for line in after[:-1]] == [f"{first.name}:", f"{newest.name}:"]


def test_a_volume_that_nobody_uses_is_shown_with_what_goes_of_it() -> None:
    entry: dict[str, t.Any] = {
        "directory": "shop/data/img",
        "archives": 2,
        "stored_bytes": 1536,
        "removed": False,
        "remove_archives": [],
        "remove_snapshots": [],
        "note": None,
    }
    assert unused_lines(entry) == ["shop/data/img: used by no workload of this run, 2 archives, 1.5 KiB"]
    gone = {**entry, "removed": True, "remove_archives": ["a", "b"], "note": "its image is not found"}
    assert unused_lines(gone)[1:] == [
        "  remove, as asked for: a, b; snapshots none",
        "  its image is not found",
    ]
    assert "cannot be listed" in unused_lines({**entry, "archives": None, "stored_bytes": None})[0]
