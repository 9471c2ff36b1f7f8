# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""gfs_consolidate makes archives again from Ceph or out of archives: either way leads to the same restore points."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.rbd import RbdClient
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec
from ansible_collections.rbd_backup.gfs.tests.integration import history
from ansible_collections.rbd_backup.gfs.tests.integration.history import day, name
from ansible_collections.rbd_backup.gfs.tests.integration.images import Images
from ansible_collections.rbd_backup.gfs.tests.integration.modules import Modules

# Day 0 is a Thursday and a 1st, day 3 a Sunday: of six days the last three stay.
RETENTION = {"daily": 3, "weekly": 0, "monthly": 0}
KEPT = [name(3), name(4), name(5)]


@pytest.fixture
def spec(modules: Modules, images: Images) -> ImageSpec:
    """An image with six days of history, all backed up."""
    return history.backed_up(images, modules, 6)


def run(modules: Modules, spec: ImageSpec, **options: t.Any) -> dict[str, t.Any]:
    return modules.consolidate([spec], **{"retention": RETENTION, "time": day(6), **options})


def nothing_from_ceph(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: t.Any) -> None:
        raise AssertionError("an export from Ceph")

    monkeypatch.setattr(RbdClient, "export_diff", refuse)


@pytest.mark.parametrize("method", ["merge", "auto"])
def test_merging_reads_nothing_from_ceph_and_gives_the_same_restore_points(
    modules: Modules, images: Images, spec: ImageSpec, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    nothing_from_ceph(monkeypatch)
    result = run(modules, spec, method=method)
    (plan,) = result["plans"]
    assert [(a["method"], a["kind"], a["snapshot"]) for a in result["archives"]] == [
        ("merge", "full", name(3))
    ]
    assert plan["read_ceph_bytes"] == 0
    assert plan["read_disk_bytes"] > 0
    assert result["archives"][0]["stored_bytes"] <= plan["extra_bytes"] == result["peak_extra_bytes"]
    assert history.snapshots(images, spec) == KEPT
    history.all_equal(images, modules, spec, KEPT)
    monkeypatch.undo()
    assert not run(modules, spec)["changed"]
    assert not modules.backup([spec])["changed"]


def test_a_merged_diff_is_what_an_exported_one_is(modules: Modules, images: Images, spec: ImageSpec) -> None:
    monthly_and_one_daily = {"daily": 1, "weekly": 0, "monthly": 1}
    result = run(modules, spec, method="merge", retention=monthly_and_one_daily)
    assert [(a["method"], a["kind"], a["base"]) for a in result["archives"]] == [("merge", "diff", name(0))]
    history.all_equal(images, modules, spec, [name(0), name(5)])


def test_with_auto_an_input_that_proves_damaged_is_named_and_the_archive_comes_from_ceph(
    modules: Modules, images: Images, spec: ImageSpec
) -> None:
    archive = history.damage(modules, f"{name(2)}.from-{name(1)}.diff.zst")
    result = run(modules, spec, method="auto")
    assert [a["method"] for a in result["archives"]] == ["reexport"]
    (warning,) = map(str, result["warnings"])
    assert archive.name in warning
    assert "exported from Ceph" in warning
    history.all_equal(images, modules, spec, KEPT)


def test_with_merge_an_input_that_proves_damaged_stops_the_volume(
    modules: Modules, images: Images, spec: ImageSpec
) -> None:
    archive = history.damage(modules, f"{name(2)}.from-{name(1)}.diff.zst")
    before = history.files(modules), history.snapshots(images, spec)
    assert archive.name in run(modules, spec, method="merge")["failures"][0]["message"]
    assert (history.files(modules), history.snapshots(images, spec)) == before
    assert run(modules, spec)["changed"], "and a re-export is the way out"


def test_points_whose_snapshots_are_gone_follow_retention_all_the_same(
    modules: Modules, images: Images, spec: ImageSpec
) -> None:
    digest = modules.restore(images.name(), restore_point=name(3))["image_digest"]
    for number in (0, 3):
        images.rbd(spec, "snap", "rm", "--snap", name(number), "--no-progress")
    result = run(modules, spec)
    assert result["changed"]
    assert result["plans"][0]["without_snapshot"] == [name(0), name(3)]
    assert [a["method"] for a in result["archives"]] == ["merge"]
    assert modules.restore(images.name(), restore_point=name(3))["image_digest"] == digest
    history.all_equal(images, modules, spec, [name(4), name(5)])
    assert "less than 70 %" in run(modules, spec, remove_without_snapshot=True)["msg"]
    assert run(modules, spec, remove_without_snapshot=True, minimum_kept_share=60)["changed"]
    assert history.archives(modules)[0] == f"{name(4)}.full.zst"
    history.all_equal(images, modules, spec, [name(4), name(5)])
