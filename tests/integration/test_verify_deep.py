# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rbd_backup_verify in mode deep: what is compared with live snapshots, and what is not and says so."""

from __future__ import annotations

import pathlib
import shutil

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.files import (
    atomic_write_json,
    read_json,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.manifest import Manifest
from ansible_collections.rbd_backup.gfs.tests.integration import history
from ansible_collections.rbd_backup.gfs.tests.integration.history import day, name
from ansible_collections.rbd_backup.gfs.tests.integration.images import MIB, Images
from ansible_collections.rbd_backup.gfs.tests.integration.modules import Modules
from ansible_collections.rbd_backup.gfs.tests.integration.verifying import FULL, archives_read, proof, results


def test_deep_compares_the_newest_and_one_more_in_turn_with_the_live_snapshots(
    modules_each_way: Modules, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = modules_each_way
    spec = history.backed_up(images, modules, 4)
    reads = archives_read(monkeypatch)
    preview = modules.verify(mode="deep", check_mode=True)
    assert preview["ceph_bytes"] == 2 * history.SIZE
    turns = []
    for _run in range(3):
        reads.clear()
        result = modules.verify(mode="deep")
        assert "failed" not in result, result
        assert len(reads) == len(set(reads))
        assert all(point["compared"] for point in result["volumes"][0]["restore_points"])
        assert result["volumes"][0]["compared"] == 2
        turns.append(sorted(results(result)))
    assert turns == [[name(number), name(3)] for number in range(3)]
    assert sorted(proof(modules)["compared"]) == [name(number) for number in range(4)]
    images.rbd(spec, "snap", "rm", "--snap", name(1), "--no-progress")
    result = modules.verify(mode="deep", restore_points=["all"])
    assert result["volumes"][0]["not_compared"] == [name(1)]
    assert result["volumes"][0]["compared"] == 3
    assert f"not in Ceph: {name(1)}." in str(result["warnings"])
    assert "no volume has" in modules.verify(mode="deep", restore_points=["gfs-20200101T000000Z"])["msg"]
    assert "needs the option ceph" in modules.verify(mode="deep", ceph=None)["msg"]


def test_a_volume_of_which_nothing_can_be_compared_is_a_failure(modules: Modules, images: Images) -> None:
    spec = history.backed_up(images, modules, 2)
    images.rbd(spec, "snap", "rm", "--snap", name(1), "--no-progress")
    result = modules.verify(mode="deep")
    assert "failed" not in result, result
    assert (result["volumes"][0]["compared"], result["volumes"][0]["not_compared"]) == (1, [name(1)])
    assert "failed" in modules.verify(mode="deep", restore_points=[name(1)])
    images.rbd(spec, "snap", "rm", "--snap", name(0), "--no-progress")
    for check_mode in (True, False):
        result = modules.verify(mode="deep", check_mode=check_mode)
        assert result["failed"]
        (failure,) = result["failures"]
        assert "Nothing was compared" in failure["message"]
        assert failure["restore_points"] == []
        assert (result["volumes"][0]["compared"], result["volumes"][0]["not_compared"]) == (
            0,
            [name(0), name(1)],
        )
        assert "nothing to compare" in result["table"][0]
    assert "failed" not in modules.verify()


def test_deep_finds_an_archive_that_is_consistent_and_not_what_the_snapshot_is(
    modules: Modules, images: Images
) -> None:
    """The archives of one image with the manifests of another, whose only fault is one byte of another value."""
    one, other = images.create(history.SIZE), images.create(history.SIZE)
    for spec, seed in ((one, 1), (other, 1)):
        images.change(spec, ("write", 0, MIB, seed))
    images.change(other, ("write", 5 * MIB + 512, 1, 7))
    modules.snapshot([one, other], time=day(0))
    modules.backup([one, other])
    here, there = (history.directory_of(modules, spec) for spec in (one, other))
    manifest = read_json(str(there / f"{FULL}.json"))
    mine = read_json(str(here / f"{FULL}.json"))
    shutil.copy(there / FULL, here / FULL)
    manifest.update({key: mine[key] for key in ("identity", "pool", "image", "to")})
    assert Manifest.from_json(manifest, "")
    atomic_write_json(str(here / f"{FULL}.json"), manifest, "")
    assert "failed" not in modules.verify()
    result = modules.verify(mode="deep")
    (failure,) = result["failures"]
    assert failure["image"] == str(one)
    (defect,) = failure["defects"]
    assert (defect["file"], defect["byte"]) == (FULL, 5 * MIB + 512)
    assert proof(modules_of(modules, here))["compared"] == {}


def modules_of(modules: Modules, directory: pathlib.Path) -> Modules:
    """The same modules with only the volume of *directory* in their set."""
    for file in list(modules.set_path.rglob("volume.json")):
        if file.parent != directory:
            shutil.rmtree(file.parent)
    return modules
