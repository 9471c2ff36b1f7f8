# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""gfs_consolidate against the lab's Ceph: what stays is what was backed up, whatever happens on the way."""

from __future__ import annotations

import os
import pathlib
import signal
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions import consolidate_steps
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.publish import ArchiveWriter
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.volume_directory import VolumeDirectory
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.rbd import RbdClient
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec, Snapshot
from ansible_collections.rbd_backup.gfs.tests.integration import history
from ansible_collections.rbd_backup.gfs.tests.integration.history import day, name
from ansible_collections.rbd_backup.gfs.tests.integration.images import Images
from ansible_collections.rbd_backup.gfs.tests.integration.modules import Modules

# Day 0 is a Thursday and a 1st, day 3 a Sunday: of eight days these stay.
RETENTION = {"daily": 2, "weekly": 1, "monthly": 1}
KEPT = [name(0), name(3), name(6), name(7)]
LEFT = [
    f"{name(0)}.full.zst",
    f"{name(3)}.from-{name(0)}.diff.zst",
    f"{name(6)}.from-{name(3)}.diff.zst",
    f"{name(7)}.from-{name(6)}.diff.zst",
]


@pytest.fixture
def spec(modules: Modules, images: Images) -> ImageSpec:
    """An image with eight days of history, all backed up."""
    return history.backed_up(images, modules, 8)


def run(modules: Modules, spec: ImageSpec, **options: t.Any) -> dict[str, t.Any]:
    return modules.consolidate([spec], **{"retention": RETENTION, "time": day(8), **options})


def test_the_limits_are_applied_and_what_stays_is_equal(
    modules: Modules, images: Images, spec: ImageSpec
) -> None:
    before = history.files(modules), history.snapshots(images, spec)
    preview = run(modules, spec, check_mode=True, diff=True)
    assert (history.files(modules), history.snapshots(images, spec)) == before
    assert preview["changed"]
    result = run(modules, spec)
    assert result["plans"] == preview["plans"]
    assert result["table"] == preview["table"]
    assert history.archives(modules) == LEFT
    assert history.snapshots(images, spec) == KEPT
    history.all_equal(images, modules, spec, KEPT)
    left = history.files(modules)
    again = run(modules, spec)
    assert not again["changed"]
    assert history.files(modules) == left
    assert not modules.backup([spec])["changed"]


def test_when_the_oldest_goes_the_next_in_line_becomes_the_full(
    modules: Modules, images: Images, spec: ImageSpec
) -> None:
    run(modules, spec, retention={"daily": 3, "weekly": 0, "monthly": 0})
    assert history.archives(modules)[0] == f"{name(5)}.full.zst"
    assert history.snapshots(images, spec) == [name(5), name(6), name(7)]
    history.all_equal(images, modules, spec, [name(5), name(6), name(7)])


def test_snapshots_of_others_are_never_touched(modules: Modules, images: Images, spec: ImageSpec) -> None:
    others = ["csi-snap-0001", f"other-{name(1)[4:]}", f"{name(1)}x"]
    for other in others:
        images.rbd(spec, "snap", "create", "--snap", other)
    run(modules, spec)
    assert history.snapshots(images, spec) == KEPT + others


def test_a_protected_snapshot_stays_with_its_archive(
    modules: Modules, images: Images, spec: ImageSpec
) -> None:
    images.rbd(spec, "snap", "protect", "--snap", name(1))
    run(modules, spec)
    assert history.snapshots(images, spec) == sorted([*KEPT, name(1)])
    assert f"{name(1)}.from-{name(0)}.diff.zst" in history.archives(modules)
    history.all_equal(images, modules, spec, [name(1), name(3)])


STEPS = [
    (ArchiveWriter, "write"),
    (ArchiveWriter, "seal"),
    (ArchiveWriter, "publish"),
    (consolidate_steps, "hash_archive"),
    (consolidate_steps, "save_proof"),
    (consolidate_steps.Steps, "_retire"),
    (VolumeDirectory, "remove_archive"),
    (os, "unlink"),
    (RbdClient, "remove_snapshot"),
]


@pytest.mark.parametrize("method", ["reexport", "merge"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_each_step_nothing_that_stays_is_lost_and_the_next_run_finishes(
    modules: Modules, images: Images, spec: ImageSpec, tmp_path: pathlib.Path, after: bool, method: str
) -> None:
    content = {point: images.read(spec, point) for point in (KEPT[0], KEPT[-1])}
    deaths = 0
    for victim, step in STEPS:
        original = getattr(victim, step)

        def die(*args: t.Any, original: t.Callable[..., t.Any] = original, **more: t.Any) -> None:
            if after:
                original(*args, **more)
            os.kill(os.getpid(), signal.SIGKILL)

        deaths += modules.run_and_die(
            lambda: run(modules, spec, method=method),
            lambda victim=victim, name=step, die=die: setattr(victim, name, die),
        )
        assert {point: history.raw(modules, point, tmp_path) for point in content} == content
        retired_left = set(history.snapshots(images, spec)) - set(KEPT)
        # what was begun to be removed was retired before, and is not exported again
        assert modules.backup([spec])["archives"] == []
        assert set(KEPT) <= set(history.snapshots(images, spec)) <= set(KEPT) | retired_left
    assert deaths >= 6
    run(modules, spec, method=method)
    assert history.archives(modules) == LEFT
    assert history.snapshots(images, spec) == KEPT
    history.all_equal(images, modules, spec, KEPT)


def test_a_retired_snapshot_is_not_exported_again(
    modules: Modules, images: Images, spec: ImageSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: t.Any) -> None:
        raise OSError("not now")

    monkeypatch.setattr(RbdClient, "remove_snapshot", refuse)
    assert run(modules, spec)["failed"]
    monkeypatch.undo()
    assert len(history.snapshots(images, spec)) == 8
    assert not modules.backup([spec])["changed"]
    assert run(modules, spec)["changed"]
    assert history.snapshots(images, spec) == KEPT


@pytest.mark.parametrize("compression", ["zstd", "gzip"])
def test_a_damaged_archive_that_stays_is_exported_again(
    modules: Modules, images: Images, spec: ImageSpec, compression: str
) -> None:
    archive = history.damage(modules, f"{name(7)}.from-{name(6)}.diff.zst")
    assert archive.name in str(run(modules, spec, compression=compression)["warnings"])
    assert [file.rpartition(".")[0] for file in history.archives(modules)] == [
        file.rpartition(".")[0] for file in LEFT
    ]
    history.all_equal(images, modules, spec, KEPT)


def test_a_damaged_archive_that_cannot_be_made_again_stops_every_removal(
    modules: Modules, images: Images, spec: ImageSpec
) -> None:
    archive = history.damage(modules, f"{name(7)}.from-{name(6)}.diff.zst")
    images.rbd(spec, "snap", "rm", "--snap", name(7), "--no-progress")
    result = run(modules, spec)
    assert archive.name in result["failures"][0]["message"]
    assert "move it and its manifest out of the backup set" in result["failures"][0]["message"]
    assert len(history.snapshots(images, spec)) == 7
    assert len(history.archives(modules)) >= 8


def test_a_damaged_manifest_never_makes_good_archives_count_as_lost(
    modules: Modules, images: Images, spec: ImageSpec
) -> None:
    for number in range(4):
        images.rbd(spec, "snap", "rm", "--snap", name(number), "--no-progress")
    manifest = history.volume_directory(modules) / f"{name(1)}.from-{name(0)}.diff.zst.json"
    good = manifest.read_text()
    manifest.write_text(good.replace('"kind"', '"Kind"'))
    before = history.archives(modules)
    assert run(modules, spec, retention={"daily": 30, "weekly": 1, "monthly": 1})["failed"]
    assert history.archives(modules) == before
    manifest.write_text(good)
    assert restored_digests(modules, images)


def restored_digests(modules: Modules, images: Images) -> bool:
    return all(
        "failed" not in modules.restore(images.name(), restore_point=name(number)) for number in range(4)
    )


def test_a_snapshot_with_a_clone_stays_and_each_is_asked_once_for_its_clones(
    modules: Modules, images: Images, spec: ImageSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    images.clone(spec, name(1))
    has_clones, asked = RbdClient.has_clones, []

    def count(client: RbdClient, image: ImageSpec, snapshot: Snapshot) -> bool:
        asked.append(snapshot.name)
        return has_clones(client, image, snapshot)

    monkeypatch.setattr(RbdClient, "has_clones", count)
    result = run(modules, spec)
    assert asked == [name(number) for number in range(8) if name(number) not in KEPT]
    assert "has clones" in str(result["warnings"])
    assert history.snapshots(images, spec) == sorted([*KEPT, name(1)])
    assert "has clones" in modules.snapshot([spec], state="absent", name=name(1))["msg"]


def test_what_a_dead_run_left_is_removed_and_told_as_a_change(modules: Modules, images: Images) -> None:
    spec = images.create(history.SIZE)
    history.live(images, modules, spec, range(1))
    modules.consolidate([spec], time=day(1))
    directory = history.volume_directory(modules)
    temporary = directory / f".tmp-1-{16 * '0'}-x"
    removing = directory / f"{name(5)}.full.zst"
    temporary.touch()
    removing.touch()
    removing.with_name(f"{removing.name}.removing").touch()
    assert modules.consolidate([spec], time=day(1), check_mode=True)["changed"]
    assert removing.exists()
    assert modules.consolidate([spec], time=day(1))["changed"]
    assert not removing.exists()
    assert not temporary.exists()
    for check_mode in (True, False):
        assert not modules.consolidate([spec], time=day(1), check_mode=check_mode)["changed"]
