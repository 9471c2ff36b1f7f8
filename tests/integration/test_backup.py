# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rbd_export_diff against the lab's Ceph: archives are compared with what they were made of."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import threading
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions import backup
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.restore_image import INCOMPLETE
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.lock import VolumeLock
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.publish import ArchiveWriter
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.writer import DiffWriter
from ansible_collections.rbd_backup.gfs.tests.integration import history
from ansible_collections.rbd_backup.gfs.tests.integration.conftest import Lab, modules_in
from ansible_collections.rbd_backup.gfs.tests.integration.history import day, name
from ansible_collections.rbd_backup.gfs.tests.integration.images import MIB, Images
from ansible_collections.rbd_backup.gfs.tests.integration.modules import Modules


def test_a_full_then_diffs_and_the_preview_is_what_then_happens(
    modules_each_way: Modules, images: Images
) -> None:
    modules, spec = modules_each_way, images.create(history.SIZE)
    for number in range(3):
        history.age(images, spec, [number])
    preview = modules.backup([spec], check_mode=True, diff=True)
    assert not modules.set_path.exists()
    result = modules.backup([spec])
    for key in history.PLANNED:
        assert [item[key] for item in preview["archives"]] == [item[key] for item in result["archives"]]
    assert history.archives(modules) == [
        f"{name(0)}.full.zst",
        f"{name(1)}.from-{name(0)}.diff.zst",
        f"{name(2)}.from-{name(1)}.diff.zst",
    ]
    assert len(preview["diff"]["after"].splitlines()) == 3
    history.all_equal(images, modules, spec, [name(0), name(1), name(2)])


def test_through_the_pod_of_the_operator(images: Images, lab: Lab, tmp_path: pathlib.Path) -> None:
    modules, spec = modules_in(lab, tmp_path, "operator"), images.create(history.SIZE)
    history.live(images, modules, spec, range(2))
    history.all_equal(images, modules, spec, [name(1)])


def test_a_second_run_and_a_preview_of_it_change_nothing(modules: Modules, images: Images) -> None:
    spec = history.backed_up(images, modules, 2)
    before = history.files(modules)
    for check_mode in (True, False):
        again = modules.backup([spec], check_mode=check_mode)
        assert not again["changed"]
        assert again["unchanged"] == 2
    assert history.files(modules) == before


def test_a_preview_counts_the_snapshot_that_would_have_been_taken(modules: Modules, images: Images) -> None:
    """And says of it what then comes true: of an image, of a clone, and of one that nothing was taken of yet."""
    spec, fresh = images.create(history.SIZE), images.create(history.SIZE)
    history.age(images, spec, [0])
    images.change(fresh, ("write", MIB, 2 * MIB, 1))
    specs = [spec, images.clone(spec, name(0)), fresh]
    history.live(images, modules, specs[1], [0])
    assert len(modules.backup(specs[:1])["archives"]) == 1
    planned = modules.snapshot(specs, time=day(1), check_mode=True)["snapshot"]
    preview = modules.backup(specs, check_mode=True, planned_snapshot=planned)
    assert [(item["snapshot"], item["base"]) for item in preview["archives"]] == [
        (name(1), name(0)),
        (name(1), None),
        (name(1), None),
    ]
    assert preview["archives"][2]["estimated_bytes"] == 4 * MIB
    assert modules.snapshot(specs, time=day(1))["changed"]
    result = modules.backup(specs)
    for key in history.PLANNED:
        assert [item[key] for item in preview["archives"]] == [item[key] for item in result["archives"]]


def test_a_preview_counts_it_only_for_the_volumes_that_it_would_have_been_taken_of(
    modules: Modules, images: Images
) -> None:
    due, recent = images.create(history.SIZE), images.create(history.SIZE)
    history.live(images, modules, due, [0])
    images.rbd(recent, "snap", "create", "--snap", name(1), "--no-progress")
    later = "2026-01-02T16:30:00Z"
    taken = modules.snapshot([due, recent], time=later, check_mode=True)
    assert [item["image"] for item in taken["created"]] == [str(due)]
    preview = modules.backup(
        [due, recent], check_mode=True, planned_snapshot=taken["snapshot"], planned_for=taken["created"]
    )
    assert [(item["claim"], item["snapshot"]) for item in preview["archives"]] == [
        ("data-0", taken["snapshot"]),
        ("data-1", name(1)),
    ]


def test_the_result_tells_how_much_and_how_fast(modules: Modules, images: Images) -> None:
    spec = images.create(history.SIZE)
    history.age(images, spec, [1])
    result = modules.backup([spec])
    (archive,) = result["archives"]
    assert archive["read_bytes"] >= archive["stream_bytes"] > 300_000
    assert (
        archive["stored_bytes"] == (history.volume_directory(modules) / f"{name(1)}.full.zst").stat().st_size
    )
    for item in (archive, result):
        assert item["ratio"] == round(item["read_bytes"] / item["stored_bytes"], 2)
        assert item["mb_per_second"] > 0
    assert archive["attempts"] == 1
    assert result["seconds"] >= archive["seconds"] > 0


def test_volumes_are_exported_at_the_same_time(
    modules: Modules, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    specs = [images.create(history.SIZE) for _number in range(3)]
    for spec in specs:
        history.age(images, spec, [0])
    meeting, header = threading.Barrier(3, timeout=60), DiffWriter.header

    def meet(writer: DiffWriter, *args: t.Any) -> None:
        meeting.wait()
        header(writer, *args)

    monkeypatch.setattr(DiffWriter, "header", meet)
    result = modules.backup(specs, parallel=3)
    assert [item["claim"] for item in result["archives"]] == ["data-0", "data-1", "data-2"]


def test_everything_is_private(modules: Modules, images: Images) -> None:
    history.backed_up(images, modules, 1)
    for path in [modules.set_path, *modules.set_path.rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


def test_a_new_place_needs_init_and_another_prefix_is_refused(modules: Modules, images: Images) -> None:
    spec = images.create(history.SIZE)
    modules.snapshot([spec], time=day(0))
    refused = modules.backup([spec], init=False)
    assert "unmounted" in refused["msg"]
    assert not modules.set_path.exists()
    assert modules.backup([spec])["changed"]
    assert "another prefix" in modules.backup([spec], init=False, prefix="other")["msg"]
    assert "another timezone" in modules.backup([spec], timezone="UTC")["msg"]


def test_a_failing_volume_does_not_stop_the_others(modules: Modules, images: Images) -> None:
    good, absent = images.create(history.SIZE), images.name()
    modules.snapshot([good], time=day(0))
    result = modules.backup([absent, good])
    assert result["failed"]
    assert result["changed"]
    assert [item["image"] for item in result["failures"]] == [str(absent)]
    assert [item["snapshot"] for item in result["archives"]] == [name(0)]


def test_an_image_made_anew_under_the_same_name_begins_a_new_directory(
    modules: Modules, images: Images
) -> None:
    spec = history.backed_up(images, modules, 1)
    images.rbd(spec, "snap", "rm", "--snap", name(0), "--no-progress")
    images.rbd(spec, "rm", "--no-progress")
    images.rbd(spec, "create", "--size", f"{history.SIZE}B")
    history.live(images, modules, spec, [1])
    assert len(list(modules.set_path.rglob("volume.json"))) == 2
    ambiguous = modules.restore(images.name())
    assert "more than one volume" in ambiguous["msg"]
    image_id = json.loads(images.rbd(spec, "info", "--format", "json"))["id"]
    target = images.name()
    assert modules.restore(target, image_ids=[image_id])["restore_point"] == name(1)
    assert images.read(target) == images.read(spec, name(1))


def test_a_good_archive_of_an_earlier_snapshot_of_the_same_name_is_left_alone(
    modules: Modules, images: Images
) -> None:
    spec = history.backed_up(images, modules, 2)
    content = {number: images.read(spec, name(number)) for number in range(2)}
    for number in range(2):
        images.rbd(spec, "snap", "rm", "--snap", name(number), "--no-progress")
    history.age(images, spec, [0])
    result = modules.backup([spec])
    assert "another snapshot of that name" in result["msg"]
    assert {number: history.restored(images, modules, name(number)) for number in range(2)} == content


def test_what_may_be_the_base_of_others_is_not_replaced_by_a_new_snapshot_of_that_name(
    modules: Modules, images: Images
) -> None:
    spec = images.create(history.SIZE)
    history.live(images, modules, spec, range(2))
    content = {number: images.read(spec, name(number)) for number in range(2)}
    for number in range(2):
        images.rbd(spec, "snap", "rm", "--snap", name(number), "--no-progress")
    (history.volume_directory(modules) / f"{name(0)}.full.zst.json").unlink()
    history.age(images, spec, [0])
    for _attempt in range(2):
        assert "earlier snapshot of that name" in modules.backup([spec])["msg"]
        # the second time its manifest is there again, but knows no id
        modules.verify(rebuild_manifests=True)
    assert history.restored(images, modules, name(0)) == content[0]
    assert history.restored(images, modules, name(1), accept_unproved=True) == content[1]


def test_a_directory_that_is_removed_while_a_run_begins_gets_no_archive(
    modules: Modules, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A consolidation with remove_unused_volumes, between the scan of this run and its lock."""
    spec = images.create()
    history.age(images, spec, range(2))
    modules.backup([spec])
    modules.snapshot([spec], time=day(2))
    directory = history.volume_directory(modules)

    class Late(VolumeLock):
        def __enter__(self) -> VolumeLock:
            for path in directory.iterdir():
                if path.name != ".lock":
                    path.unlink()
            return super().__enter__()

    monkeypatch.setattr(backup, "VolumeLock", Late)
    result = modules.backup([spec])
    assert "volume.json" in result["failures"][0]["message"]
    assert [path.name for path in directory.iterdir()] == [".lock"]
    monkeypatch.undo()
    assert len(modules.backup([spec])["archives"]) == 3


def test_a_volume_that_is_not_wholly_restored_is_not_backed_up_in_silence(
    modules: Modules, images: Images
) -> None:
    spec = images.create()
    history.live(images, modules, spec, [0])
    images.rbd(spec, "image-meta", "set", INCOMPLETE, f"incomplete: {name(0)}")
    modules.snapshot([spec], time=day(1))
    result = modules.backup([spec])
    assert len(result["archives"]) == 1
    (warning,) = result["warnings"]
    assert "not wholly restored" in str(warning)
    images.rbd(spec, "image-meta", "remove", INCOMPLETE)
    modules.snapshot([spec], time=day(2))
    assert "warnings" not in modules.backup([spec])


def test_a_volume_without_any_snapshot_of_the_set_is_not_passed_over_in_silence(
    modules: Modules, images: Images
) -> None:
    spec = images.create(history.SIZE)
    images.rbd(spec, "snap", "create", "--snap", "daily-20260101T160000Z")
    result = modules.backup([spec])
    assert "has no snapshot gfs-" in result["msg"]
    assert not list(modules.set_path.rglob("volume.json"))


def test_bad_options_touch_nothing(modules: Modules, images: Images) -> None:
    spec = images.create(history.SIZE)
    for options in ({"parallel": 0}, {"compression_level": 99}, {"timezone": "Mars/Olympus"}):
        assert modules.backup([spec], **options)["failed"]
        assert not modules.set_path.exists()


def test_a_lost_archive_in_the_middle_is_exported_again_and_said_so(modules: Modules, images: Images) -> None:
    spec = history.backed_up(images, modules, 3)
    lost = history.volume_directory(modules) / f"{name(1)}.from-{name(0)}.diff.zst"
    lost.unlink()
    result = modules.backup([spec])
    assert lost.name in str(result["warnings"])
    assert [item["snapshot"] for item in result["archives"]] == [name(1)]
    assert not list(modules.set_path.rglob("*.bad-*"))
    history.all_equal(images, modules, spec, [name(0), name(1), name(2)])


def test_killed_at_any_write_or_step_of_publishing_the_next_run_finishes(
    modules: Modules, images: Images
) -> None:
    spec = history.backed_up(images, modules, 1)
    for number, (victim, method) in enumerate(
        [(ArchiveWriter, "write"), (ArchiveWriter, "seal"), (ArchiveWriter, "publish"), (os, "rename")],
        start=1,
    ):
        history.age(images, spec, [number])
        done = [f"{name(i)}" for i in range(number)]

        def die_there(victim=victim, method=method) -> None:
            setattr(victim, method, lambda *_args, **_more: os.kill(os.getpid(), signal.SIGKILL))

        assert modules.run_and_die(lambda: modules.backup([spec]), die_there)
        assert [file[: len(name(0))] for file in history.archives(modules)] == done
        assert modules.backup([spec])["changed"]
        assert not list(modules.set_path.rglob(".tmp-*"))
    history.all_equal(images, modules, spec, [name(number) for number in range(5)])


def test_a_resized_image_and_one_in_a_rados_namespace(modules: Modules, images: Images, lab: Lab) -> None:
    spec = images.create(8 * MIB, rados_namespace=lab.rados_namespace)
    images.change(spec, ("write", 0, 5 * MIB, 1))
    modules.snapshot([spec], time=day(0))
    images.change(spec, ("resize", 24 * MIB), ("write", 20 * MIB, MIB, 2))
    modules.snapshot([spec], time=day(1))
    images.change(spec, ("resize", 2 * MIB))
    modules.snapshot([spec], time=day(2))
    images.change(spec, ("resize", 16 * MIB), ("write", 12 * MIB, MIB, 3))
    modules.snapshot([spec], time=day(3))
    reasons = {item["snapshot"]: item["reason"] for item in modules.backup([spec])["archives"]}
    assert reasons == {
        name(0): "full: the oldest snapshot",
        name(1): "diff against its predecessor",
        name(2): f"full: the image shrank between {name(1)} and {name(2)}",
        name(3): "diff against its predecessor",
    }
    history.all_equal(images, modules, spec, reasons)


@pytest.mark.parametrize(
    ("features", "fulls"), [("layering", 3), ("layering,exclusive-lock,deep-flatten", 2)]
)
def test_a_clone_is_whole_without_its_parent(
    modules: Modules, images: Images, features: str, fulls: int
) -> None:
    """Without deep-flatten the snapshots of a flattened image keep their parent: the first diff after it is a full."""
    parent = images.create(history.SIZE)
    images.change(parent, ("write", 0, 6 * MIB, 1))
    images.rbd(parent, "snap", "create", "--snap", "origin")
    spec = images.clone(parent, "origin", features)
    history.live(images, modules, spec, range(2))
    images.change(spec, ("flatten",))
    history.live(images, modules, spec, range(2, 4))
    history.all_equal(images, modules, spec, [name(number) for number in range(4)])
    assert len([file for file in history.archives(modules) if ".full" in file]) == fulls
