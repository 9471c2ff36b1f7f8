# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rbd_snapshot against the lab's Ceph: what it says is compared with what Ceph has."""

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec
from ansible_collections.rbd_backup.gfs.tests.integration.images import Images
from ansible_collections.rbd_backup.gfs.tests.integration.modules import Modules

DAY_1, DAY_2 = "2026-01-01T17:00:00Z", "2026-01-02T17:00:00Z"
NAME_1, NAME_2 = "gfs-20260101T170000Z", "gfs-20260102T170000Z"


def names(images: Images, spec: ImageSpec) -> list[str]:
    listed: list[dict[str, t.Any]] = json.loads(images.rbd(spec, "snap", "ls", "--format", "json"))
    return [snapshot["name"] for snapshot in listed]


def test_all_images_get_one_name_and_a_preview_takes_none(modules_each_way: Modules, images: Images) -> None:
    specs = [images.create(), images.create(), images.create(rados_namespace="tenant")]
    preview = modules_each_way.snapshot(specs, time=DAY_1, check_mode=True, diff=True)
    assert preview["changed"]
    assert preview["diff"]["after"].splitlines() == [
        f"shop/data-{number} ({spec}) {NAME_1}" for number, spec in enumerate(specs)
    ]
    assert [names(images, spec) for spec in specs] == [[], [], []]
    result = modules_each_way.snapshot(specs, time=DAY_1)
    assert result["changed"]
    assert [item["image"] for item in result["created"]] == [str(spec) for spec in specs]
    assert {item["snapshot"] for item in result["created"]} == {NAME_1} == {result["snapshot"]}
    assert [names(images, spec) for spec in specs] == [[NAME_1]] * 3


def test_a_repeated_run_within_the_interval_is_clean_and_names_the_age(
    modules: Modules, images: Images
) -> None:
    spec = images.create()
    modules.snapshot([spec], time=DAY_1)
    again = modules.snapshot([spec], time="2026-01-01T17:30:00Z")
    assert not again["changed"]
    assert [(item["snapshot"], item["age"]) for item in again["unchanged"]] == [(NAME_1, 1800.0)]
    without = modules.snapshot([spec], time="2026-01-01T17:30:00Z", min_interval=0)
    assert without["changed"]
    assert names(images, spec) == [NAME_1, "gfs-20260101T173000Z"]


@pytest.mark.parametrize("time", [DAY_1, "2026-01-01T16:59:59Z", "2025-12-31T17:00:00+02:00"])
def test_a_time_at_or_before_the_newest_is_refused(modules: Modules, images: Images, time: str) -> None:
    spec = images.create()
    modules.snapshot([spec], time=DAY_1)
    result = modules.snapshot([spec], time=time, min_interval=0)
    assert result["failed"]
    assert "not older" in result["failures"][0]["message"]
    assert names(images, spec) == [NAME_1]


def test_a_failing_image_does_not_stop_the_others(modules: Modules, images: Images) -> None:
    good, absent, other = images.create(), images.name(), images.create()
    result = modules.snapshot([good, absent, other], time=DAY_1)
    assert result["failed"]
    assert result["changed"]
    assert [item["image"] for item in result["failures"]] == [str(absent)]
    assert str(absent) in result["msg"]
    assert names(images, good) == names(images, other) == [NAME_1]


def test_the_future_is_refused_unless_allowed(modules: Modules, images: Images) -> None:
    spec = images.create()
    future = "2099-01-01T00:00:00Z"
    assert "future" in modules.snapshot([spec], time=future)["msg"]
    assert names(images, spec) == []
    assert modules.snapshot([spec], time=future, allow_future=True)["changed"]


def test_no_more_than_max_snapshots_and_a_warning_from_half(modules: Modules, images: Images) -> None:
    spec = images.create()
    images.rbd(spec, "snap", "create", "--snap", "somebody-elses")
    first = modules.snapshot([spec], time=DAY_1, max_snapshots=3)
    assert "warnings" not in first
    second = modules.snapshot([spec], time=DAY_2, max_snapshots=3)
    assert "max_snapshots" in str(second["warnings"])
    modules.snapshot([spec], time="2026-01-03T17:00:00Z", max_snapshots=3)
    full = modules.snapshot([spec], time="2026-01-04T17:00:00Z", max_snapshots=3)
    assert full["failed"]
    assert "max_snapshots is 3" in full["msg"]
    assert len(names(images, spec)) == 4


def test_absent_removes_exactly_the_one_name(modules: Modules, images: Images) -> None:
    spec = images.create()
    for time in (DAY_1, DAY_2):
        modules.snapshot([spec], time=time)
    images.rbd(spec, "snap", "create", "--snap", f"{NAME_1}-copy")
    preview = modules.snapshot([spec], state="absent", name=NAME_1, check_mode=True)
    assert preview["changed"]
    assert names(images, spec) == [NAME_1, NAME_2, f"{NAME_1}-copy"]
    result = modules.snapshot([spec], state="absent", name=NAME_1)
    assert result["changed"]
    assert [item["snapshot"] for item in result["removed"]] == [NAME_1]
    assert names(images, spec) == [NAME_2, f"{NAME_1}-copy"]
    assert not modules.snapshot([spec], state="absent", name=NAME_1)["changed"]


@pytest.mark.parametrize(
    "name", ["daily", "gfs-20260101", f"{NAME_1}-copy", f"x{NAME_1}", "csi-snap-1", "gfs-*"]
)
def test_a_name_that_is_not_wholly_ours_is_never_removed(modules: Modules, images: Images, name: str) -> None:
    spec = images.create()
    images.rbd(spec, "snap", "create", "--snap", name)
    modules.snapshot([spec], time=DAY_1)
    result = modules.snapshot([spec], state="absent", name=name)
    assert result["failed"]
    assert names(images, spec) == [name, NAME_1]


def test_a_protected_snapshot_is_kept(modules: Modules, images: Images) -> None:
    spec = images.create()
    modules.snapshot([spec], time=DAY_1)
    images.rbd(spec, "snap", "protect", "--snap", NAME_1)
    result = modules.snapshot([spec], state="absent", name=NAME_1)
    assert "protected" in result["msg"]
    assert names(images, spec) == [NAME_1]


def test_bad_options_are_refused_before_anything_is_touched(modules: Modules, images: Images) -> None:
    spec = images.create()
    for options, word in (
        ({"prefix": "gfs*"}, "prefix"),
        ({"time": "yesterday"}, "not a time"),
        ({"time": "2026-01-01T17:00:00"}, "not a time"),
        ({"max_snapshots": 401}, "max_snapshots"),
        ({"min_interval": -1}, "min_interval"),
        ({"parallel": 0}, "parallel"),
    ):
        result = modules.snapshot([spec], **options)
        assert result["failed"]
        assert word in result["msg"]
    assert names(images, spec) == []
