# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""gfs_consolidate hurts neither production nor the disk."""

from __future__ import annotations

import types
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions import consolidate_steps, room
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.rbd import RbdClient
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import CephError
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec
from ansible_collections.rbd_backup.gfs.tests.integration import history
from ansible_collections.rbd_backup.gfs.tests.integration.consolidating import run
from ansible_collections.rbd_backup.gfs.tests.integration.history import day, name
from ansible_collections.rbd_backup.gfs.tests.integration.images import Images
from ansible_collections.rbd_backup.gfs.tests.integration.modules import Modules


@pytest.fixture
def spec(modules: Modules, images: Images) -> ImageSpec:
    """An image with four days of history, all backed up."""
    return history.backed_up(images, modules, 4)


def test_what_waits_for_its_removal_is_retired_and_a_backup_in_between_exports_nothing_of_it(
    modules: Modules, images: Images, spec: ImageSpec
) -> None:
    for left in ([name(1), name(2)], [name(2)], []):
        result = run(modules, spec, max_snapshot_removals=1)
        assert result["changed"]
        assert [item["snapshots"] for item in result["waiting"]] == ([left] if left else [])
        assert history.snapshots(images, spec) == [*left, name(3)]
        assert history.archives(modules) == [f"{name(3)}.full.zst"]
        assert not modules.backup([spec])["changed"]
        history.all_equal(images, modules, spec, [name(3)])
    assert not run(modules, spec, max_snapshot_removals=1)["changed"]


def test_what_somebody_needs_by_the_time_that_it_is_to_go_is_kept_and_holds_up_nothing_else(
    modules: Modules, images: Images, spec: ImageSpec
) -> None:
    run(modules, spec, max_snapshot_removals=1)
    assert history.snapshots(images, spec) == [name(1), name(2), name(3)]
    images.rbd(spec, "snap", "protect", "--snap", name(1))
    modules.snapshot([spec], time=day(4))
    clone = images.clone(spec, name(2))
    result = run(modules, spec, time=day(5))
    assert "failed" not in result, result
    assert history.snapshots(images, spec) == [name(1), name(2), name(4)]
    assert "it is protected in Ceph or has clones" in "\n".join(result["table"])
    told = str(result["warnings"])
    assert f"{name(1)} of volume" in told
    assert f"{name(2)} of volume" in told
    assert not run(modules, spec, time=day(5))["changed"]
    images.rbd(clone, "rm", "--no-progress")
    images.rbd(spec, "snap", "unprotect", "--snap", name(1))
    assert run(modules, spec, time=day(5))["changed"]
    assert history.snapshots(images, spec) == [name(4)]


def test_a_preview_says_what_will_have_to_wait(modules: Modules, images: Images, spec: ImageSpec) -> None:
    preview, done = (run(modules, spec, max_snapshot_removals=2, check_mode=check) for check in (True, False))
    assert preview["waiting"] == done["waiting"]
    assert done["waiting"][0]["snapshots"] == history.snapshots(images, spec)[:-1] == [name(2)]


def test_a_snapshot_that_went_by_itself_is_no_failure(
    modules: Modules, images: Images, spec: ImageSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_proof = consolidate_steps.save_proof

    def and_somebody_removes(*args: t.Any) -> bool:
        images.rbd(spec, "snap", "rm", "--snap", name(1), "--no-progress")
        monkeypatch.undo()
        return save_proof(*args)

    monkeypatch.setattr(consolidate_steps, "save_proof", and_somebody_removes)
    assert not run(modules, spec).get("failed")
    assert history.snapshots(images, spec) == [name(3)]
    assert not run(modules, spec)["changed"]


def test_the_cluster_says_how_busy_it_is_to_the_backup_user(any_rbd: RbdClient) -> None:
    assert any_rbd.trimming_pgs() >= 0


def test_where_nobody_knows_how_busy_the_cluster_is_snapshots_wait(
    modules: Modules, images: Images, spec: ImageSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The monitor of the lab always answers."""

    def silent(_rbd: RbdClient) -> int:
        raise CephError("no answer")

    monkeypatch.setattr(RbdClient, "trimming_pgs", silent)
    result = run(modules, spec)
    assert "no answer" in result["waiting"][0]["because"]
    assert len(history.snapshots(images, spec)) == 4
    monkeypatch.undo()
    assert run(modules, spec)["changed"]
    assert history.snapshots(images, spec) == [name(3)]


def test_a_volume_for_which_there_is_no_room_is_left_out_with_its_shortfall_and_others_go_on(
    modules: Modules, images: Images, spec: ImageSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file system of the lab has room for everything."""
    small = images.create(history.SIZE)
    for number in range(4):
        modules.snapshot([small], time=day(number))
    modules.backup([spec, small])
    together = run(modules, spec, small, check_mode=True, parallel=2)
    needed = [plan["extra_bytes"] for plan in together["plans"]]
    assert needed[1] < needed[0]
    assert together["peak_extra_bytes"] == sum(needed)
    assert run(modules, spec, small, check_mode=True, parallel=1)["peak_extra_bytes"] == needed[0]
    free = types.SimpleNamespace(f_bavail=needed[0] - 1, f_frsize=1)
    monkeypatch.setattr(room.os, "statvfs", lambda _path: free)
    before = history.snapshots(images, spec)
    for check_mode in (True, False):
        result = run(modules, spec, small, check_mode=check_mode, parallel=1)
        (failure,) = result["failures"]
        assert failure["claim"] == "data-0"
        assert "1 bytes are missing" in failure["message"]
        assert failure["missing_bytes"] == 1
    assert history.snapshots(images, spec) == before
    assert history.snapshots(images, small) == [name(3)]


def test_a_damaged_archive_that_stays_is_exported_again_only_where_there_is_room_for_it(
    modules: Modules, images: Images, spec: ImageSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file system of the lab has room for everything."""
    archive = history.damage(modules, f"{name(3)}.from-{name(2)}.diff.zst")
    before = history.files(modules)
    for_the_plan = types.SimpleNamespace(f_bavail=1 << 40, f_frsize=1)
    too_little = types.SimpleNamespace(f_bavail=archive.stat().st_size - 1, f_frsize=1)
    free = iter([for_the_plan, too_little])
    two = {"retention": {"daily": 2, "weekly": 0, "monthly": 0}}
    with monkeypatch.context() as patch:
        patch.setattr(room.os, "statvfs", lambda _path: next(free))
        result = run(modules, spec, **two)
    (failure,) = result["failures"]
    assert failure["missing_bytes"] == 1
    assert "exported again" not in str(result.get("warnings"))
    after = history.files(modules)
    archives = {file for file in before if ".diff." in file}
    assert {file: after[file] for file in archives} == {file: before[file] for file in archives}
    assert history.snapshots(images, spec) == [name(number) for number in range(4)]
    result = run(modules, spec, **two)
    assert "It was exported again" in str(result["warnings"])
    history.all_equal(images, modules, spec, [name(2), name(3)])
