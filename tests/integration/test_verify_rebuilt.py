# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lost manifests are rebuilt from their archives, and what that costs until the next backup or comparison."""

from __future__ import annotations

import pathlib
import shutil
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec
from ansible_collections.rbd_backup.gfs.tests.integration import history
from ansible_collections.rbd_backup.gfs.tests.integration.history import day, name
from ansible_collections.rbd_backup.gfs.tests.integration.images import MIB, Images
from ansible_collections.rbd_backup.gfs.tests.integration.modules import Modules
from ansible_collections.rbd_backup.gfs.tests.integration.verifying import DIFF, FULL, flip, results


def lose_manifests(modules: Modules, way: str) -> None:
    for manifest in history.volume_directory(modules).glob("gfs-*.json"):
        if way == "missing":
            manifest.unlink()
        else:
            flip(manifest, 30)


@pytest.mark.parametrize("way", ["missing", "damaged"])
def test_lost_manifests_are_rebuilt_and_every_restore_point_is_what_it_was(
    modules: Modules, images: Images, four_days: ImageSpec, way: str
) -> None:
    good = {
        point["name"]: point["image_digest"] for point in modules.verify()["volumes"][0]["restore_points"]
    }
    (history.volume_directory(modules) / "proof.json").unlink()
    lose_manifests(modules, way)
    before = history.files(modules)
    preview = modules.verify(rebuild_manifests=True, check_mode=True)
    assert preview["changed"]
    assert preview["volumes"][0]["rebuilt"] == history.archives(modules)
    assert history.files(modules) == before
    assert modules.verify()["failed"]
    result = modules.verify(rebuild_manifests=True)
    assert result["changed"]
    assert {point["name"]: point["image_digest"] for point in result["volumes"][0]["restore_points"]} == good
    assert "accept_unproved" in result["failures"][0]["message"], "nothing is on record to compare with"
    again = modules.verify(rebuild_manifests=True, accept_unproved=True)
    assert "failed" not in again, again
    assert not again["changed"]
    assert history.restored(images, modules, name(3), accept_unproved=True) == images.read(four_days, name(3))
    assert modules.info()["volumes"][0]["restore_points"][0]["rebuilt"]


@pytest.mark.parametrize("way", ["missing", "damaged"])
def test_a_rebuilt_restore_point_is_exported_again_unless_it_was_compared(
    modules: Modules, images: Images, way: str
) -> None:
    spec = history.backed_up(images, modules, 2)
    modules.verify(mode="deep", restore_points=["all"])
    lose_manifests(modules, way)
    modules.verify(rebuild_manifests=True)
    history.age(images, spec, [2])
    planned = modules.backup([spec], check_mode=True)["archives"]
    assert [(item["snapshot"], item["kind"]) for item in planned] == [
        (name(0), "full"),
        (name(1), "diff"),
        (name(2), "diff"),
    ]
    assert "not compared with Ceph" in planned[0]["reason"]
    result = modules.verify(mode="deep", restore_points=["all"])
    assert "failed" not in result, result
    (made,) = modules.backup([spec])["archives"]
    assert (made["kind"], made["base"]) == ("diff", name(1))
    assert not modules.backup([spec])["changed"]
    kept = modules.consolidate([spec], retention={"daily": 2, "weekly": 0, "monthly": 0}, time=day(3))
    assert "failed" not in kept, kept
    history.all_equal(images, modules, spec, [name(1), name(2)])


def test_a_rebuilt_restore_point_that_was_not_compared_is_healed_by_the_next_backup(
    modules: Modules, images: Images
) -> None:
    spec = history.backed_up(images, modules, 3)
    lose_manifests(modules, "damaged")
    modules.verify(rebuild_manifests=True)
    images.rbd(spec, "snap", "rm", "--snap", name(1), "--no-progress")
    result = modules.backup([spec])
    assert [(item["snapshot"], item["base"]) for item in result["archives"]] == [
        (name(0), None),
        (name(2), name(0)),
    ]
    assert not modules.backup([spec])["archives"], "only tidies up"
    assert not modules.backup([spec])["changed"]
    kept = modules.consolidate([spec], retention={"daily": 9}, time=day(3))
    assert "failed" not in kept, kept
    assert not modules.backup([spec])["changed"]
    history.all_equal(images, modules, spec, [name(0), name(2)])
    points = modules.info()["volumes"][0]["restore_points"]
    assert [point["rebuilt"] for point in points] == [False, True, False]


@pytest.mark.parametrize(
    ("damage", "words", "rebuilt"),
    [
        (
            lambda d: flip(d / FULL),
            ["damaged at byte", "no archive that is recorded leads there"],
            [],
        ),
        (
            lambda d: shutil.copy(d / DIFF[2], d / DIFF[0]),
            ["which is not what its name says", "no archive that is recorded leads there"],
            [FULL],
        ),
    ],
)
def test_what_is_not_whole_or_another_s_is_not_rebuilt(
    modules: Modules,
    four_days: ImageSpec,
    damage: t.Callable[[pathlib.Path], object],
    words: list[str],
    rebuilt: list[str],
) -> None:
    lose_manifests(modules, "missing")
    damage(history.volume_directory(modules))
    result = modules.verify(rebuild_manifests=True)
    assert result["failed"]
    assert result["volumes"][0]["rebuilt"] == rebuilt
    assert all(word in str(result["warnings"]) for word in words)


def test_what_was_on_record_before_proves_a_rebuilt_restore_point(
    modules: Modules, images: Images, four_days: ImageSpec
) -> None:
    modules.verify()
    lose_manifests(modules, "missing")
    result = modules.verify(rebuild_manifests=True)
    assert "failed" not in result, result
    assert set(results(result).values()) == {"proved"}
    assert history.restored(images, modules, name(3)) == images.read(four_days, name(3))


def test_an_archive_is_never_joined_to_another_snapshot_of_the_same_name_without_a_word(
    modules: Modules, images: Images
) -> None:
    spec = history.backed_up(images, modules, 3)
    wanted = images.read(spec, name(2))
    # the snapshot that the last one stands on is made again, with another content, and archived beside the first one
    images.rbd(spec, "snap", "purge", "--no-progress")
    images.change(spec, ("write", 9 * MIB, MIB, 77), ("snapshot", name(1)))
    assert [item["kind"] for item in modules.backup([spec])["archives"]] == ["full"]
    assert history.restored(images, modules, name(2)) == wanted, "ids tell them apart"
    last = f"{name(2)}.from-{name(1)}.diff.zst.json"
    (history.volume_directory(modules) / last).unlink()

    assert results(modules.verify(rebuild_manifests=True))[name(2)] == "differs", (
        "the restore above is on record"
    )

    (history.volume_directory(modules) / "proof.json").unlink()
    result = modules.verify()
    assert results(result) == {name(0): "proved", name(1): "proved", name(2): "unproved"}
    assert f"{name(2)} (joined at {name(1)})" in result["failures"][0]["message"]
    assert results(modules.verify(accept_unproved=True))[name(2)] == "unproved", "reading proves nothing"
    target = images.name()
    for check_mode in (True, False):
        refused = modules.restore(target, restore_point=name(2), check_mode=check_mode)
        assert f"at {name(1)} nothing but the name" in refused["msg"]
        assert not refused["changed"]
    accepted = modules.restore(target, restore_point=name(2), accept_unproved=True)
    assert accepted["unproved_joins"] == [name(1)]
    assert not accepted["image_digest_recorded"]
    assert "it is unproved" in str(accepted["warnings"])
    assert images.read(target) != wanted, "this is what nobody must get without asking for it"

    # as the documentation says: what leads to the other snapshot goes away
    for file in history.volume_directory(modules).glob(f"{name(1)}.full.zst*"):
        file.unlink()
    assert history.restored(images, modules, name(2), accept_unproved=True) == wanted
