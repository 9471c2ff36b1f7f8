# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rbd_export_diff when streams break, the disk is full, and runs are killed: what the next run makes of it."""

from __future__ import annotations

import os
import pathlib
import random
import signal
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions import archiving
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.publish import ArchiveWriter
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.writer import DiffWriter
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec
from ansible_collections.rbd_backup.gfs.tests.integration import history
from ansible_collections.rbd_backup.gfs.tests.integration.conftest import Lab, modules_in
from ansible_collections.rbd_backup.gfs.tests.integration.history import day, name
from ansible_collections.rbd_backup.gfs.tests.integration.images import MIB, Images
from ansible_collections.rbd_backup.gfs.tests.integration.meddling import (
    LATE_FAULTS,
    meddle_with_exports,
)
from ansible_collections.rbd_backup.gfs.tests.integration.modules import Modules
from ansible_collections.rbd_backup.gfs.tests.integration.processes import rbd_about
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils.mounts import memory, resize


class KillsRbd:
    """Fault injection: kills the rbd that exports, the first *times* times that a stream begins."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, spec: ImageSpec, times: int) -> None:
        self.began = 0
        header = DiffWriter.header

        def begin(writer: DiffWriter, *args: t.Any) -> None:
            self.began += 1
            if self.began <= times:
                for pid in rbd_about(spec.image):
                    os.kill(pid, signal.SIGKILL)
            header(writer, *args)

        monkeypatch.setattr(DiffWriter, "header", begin)
        monkeypatch.setattr(archiving, "PAUSES", (0.0,))


@pytest.fixture
def large(images: Images) -> ImageSpec:
    """An image with a snapshot that holds more than all buffers on the way."""
    spec = images.create(32 * MIB)
    images.change(spec, ("write", 0, 32 * MIB, 5))
    images.rbd(spec, "snap", "create", "--snap", name(0), "--no-progress")
    return spec


def test_a_stream_that_breaks_is_exported_again_from_its_beginning(
    modules_each_way: Modules, images: Images, large: ImageSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = modules_each_way
    KillsRbd(monkeypatch, large, times=2)
    (archive,) = modules.backup([large])["archives"]
    assert archive["attempts"] == 3
    assert not list(modules.set_path.rglob(".tmp-*"))
    assert history.restored(images, modules, name(0)) == images.read(large, name(0))


@pytest.mark.parametrize(("retries", "began"), [(0, 1), (2, 3)])
def test_a_stream_that_always_breaks_is_given_up(
    modules: Modules, large: ImageSpec, monkeypatch: pytest.MonkeyPatch, retries: int, began: int
) -> None:
    faults = KillsRbd(monkeypatch, large, times=99)
    assert modules.backup([])["initialised"]
    result = modules.backup([large], retries=retries)
    assert result["changed"], "its directory was made"
    assert "killed by signal 9" in result["msg"]
    assert ("This was attempt 3" in result["msg"]) == (retries == 2)
    assert faults.began == began
    assert history.archives(modules) == []
    assert not modules.backup([large], retries=0)["changed"]


@pytest.mark.parametrize("fault", ["truncated", "twice", "bit"])
def test_fault_injection_what_a_connection_truncates_doubles_or_corrupts_is_never_published(
    lab: Lab, tmp_path: pathlib.Path, images: Images, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """Once: it is exported again. Each time: that volume fails, and the other goes on."""
    modules = modules_in(lab, tmp_path, "toolbox")
    monkeypatch.setattr(archiving, "PAUSES", (0.0,))
    specs = [images.create(history.SIZE), images.create(history.SIZE)]
    for spec in specs:
        images.change(spec, ("write", 0, 4 * MIB, 1), ("snapshot", name(0)))
    begun = meddle_with_exports(monkeypatch, LATE_FAULTS[fault], times=2)
    result = modules.backup(specs, parallel=1, retries=1)
    assert len(begun) == 2
    assert [item["image"] for item in result["failures"]] == [str(specs[0])]
    assert "damaged on its way" in result["msg"]
    assert "This was attempt 2" in result["msg"]
    assert [(item["claim"], item["attempts"]) for item in result["archives"]] == [("data-1", 1)]
    assert len(list(modules.set_path.rglob("gfs-*.zst"))) == 1
    assert not list(modules.set_path.rglob(".tmp-*"))
    begun.pop()
    (archive,) = modules.backup(specs, retries=1)["archives"]
    assert (archive["claim"], archive["attempts"]) == ("data-0", 2)
    assert history.restored(images, modules, name(0)) == images.read(specs[0], name(0))


@pytest.fixture
def small_disk(modules: Modules) -> t.Iterator[pathlib.Path]:
    """The backup directory on a file system of 8 MiB."""
    with memory(modules.root, "8m") as disk:
        yield disk


def test_a_full_that_cannot_fit_is_not_begun_and_the_others_go_on(
    modules: Modules, images: Images, large: ImageSpec, small_disk: pathlib.Path
) -> None:
    small = images.create(history.SIZE)
    images.change(small, ("write", 0, MIB, 3))
    modules.snapshot([small], time=day(0))
    result = modules.backup([large, small], minimum_free=MIB)
    (failure,) = result["failures"]
    assert failure["image"] == str(large)
    assert "bytes are missing" in failure["message"]
    assert [(item["claim"], item["estimated_bytes"]) for item in result["archives"]] == [("data-1", 4 * MIB)]
    resize(small_disk, "200m")
    (archive,) = modules.backup([large, small], minimum_free=MIB)["archives"]
    assert (archive["claim"], archive["estimated_bytes"]) == ("data-0", 32 * MIB)
    history.all_equal(images, modules, large, [name(0)])


def test_a_disk_that_gets_full_is_survived(
    modules: Modules, images: Images, small_disk: pathlib.Path
) -> None:
    spec = images.create(32 * MIB)
    images.change(spec, ("write", 0, MIB, 3))
    modules.snapshot([spec], time=day(0))
    assert modules.backup([spec], minimum_free=MIB)["changed"]
    images.change(spec, ("write", 0, 32 * MIB, 4))
    modules.snapshot([spec], time=day(1))
    before = history.files(modules)
    result = modules.backup([spec], minimum_free=0)
    assert "No space left on device" in result["msg"]
    assert "attempt" not in result["msg"]
    assert history.files(modules) == before
    resize(small_disk, "200m")
    assert modules.backup([spec], minimum_free=0)["changed"]
    history.all_equal(images, modules, spec, [name(0), name(1)])


@pytest.mark.parametrize("seed", range(2))
def test_a_random_life_with_disturbed_runs_ends_as_an_undisturbed_one(
    modules: Modules, images: Images, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Runs are killed anywhere, cancelled, cut off from rbd and lose files; the preview of the last one comes true,
    and what is there then is what a run that nothing disturbed makes in another place."""
    rng = random.Random(seed)
    spec = images.create(history.SIZE)
    last = 5
    for number in range(last + 1):
        if rng.random() < 0.3:
            images.change(spec, ("resize", rng.choice((8, 16, 24)) * MIB))
            images.change(spec, ("write", rng.randrange(7) * MIB, MIB, number))
        images.change(spec, ("discard", rng.randrange(7) * MIB, 700_000), ("write", 0, 9000, 99 + number))
        assert modules.snapshot([spec], time=day(number))["changed"]
        _disturbed(rng, modules, spec)
        _lose_something(rng, modules)
    history.as_planned(modules, [spec], verify="full")
    assert modules.backup([spec], cluster="undisturbed")["changed"]
    disturbed, undisturbed = (
        sorted(path.name for path in (modules.root / cluster).rglob("*"))[3:]
        for cluster in ("lab", "undisturbed")
    )
    assert set(disturbed) - {"proof.json"} == set(undisturbed)
    history.all_equal(images, modules, spec, [name(number) for number in range(last + 1)])


def _disturbed(rng: random.Random, modules: Modules, spec: ImageSpec) -> None:
    """Run the backup, and let something befall it."""
    steps = [(ArchiveWriter, "write"), (ArchiveWriter, "seal"), (ArchiveWriter, "publish"), (os, "rename")]
    victim, method = rng.choice([*steps, (os, "fsync"), (os, "unlink")])
    after = rng.randrange(6)
    fate = rng.choice([signal.SIGKILL, signal.SIGKILL, "broken", "late", "none"])

    def prepare() -> None:
        real = getattr(victim, method)
        calls: list[object] = []

        def meet(*args: t.Any, **more: t.Any) -> t.Any:
            calls.append(args)
            if len(calls) > after:
                if fate == "broken":
                    raise OSError(5, "fault injection")
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **more)

        if fate in (signal.SIGKILL, "broken"):
            setattr(victim, method, meet)

    limit = {"max_duration": 0, "stop_grace": rng.choice((0, 600))} if fate == "late" else {}
    verify = rng.choice(("full", "recorded"))
    modules.run_and_die(lambda: modules.backup([spec], verify=verify, **limit), prepare)


def _lose_something(rng: random.Random, modules: Modules) -> None:
    files = [path for path in modules.set_path.rglob("gfs-*") if path.is_file()]
    if not files or rng.random() < 0.5:
        return
    victim = rng.choice(sorted(files))
    if rng.random() < 0.5:
        victim.unlink()
    else:
        content = bytearray(victim.read_bytes())
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        victim.write_bytes(content)


DEEP = "layering,exclusive-lock,deep-flatten"


@pytest.mark.parametrize(("features", "daily"), [("layering", True), (DEEP, True), (DEEP, False)])
def test_a_clone_keeps_what_discard_write_zeroes_and_flatten_make_of_its_parents_data(
    modules: Modules, images: Images, features: str, daily: bool
) -> None:
    """With deep-flatten older snapshots lose their parent too: backed up after that, they are diffs."""
    parent = images.create(history.SIZE)
    images.change(parent, ("write", 0, history.SIZE, 1))
    images.rbd(parent, "snap", "create", "--snap", "origin")
    spec = images.clone(parent, "origin", features)
    kinds: list[str] = []
    changes = [
        [("discard", 0, 4 * MIB), ("discard", 5 * MIB, 100_000)],
        [("write_zeroes", 4 * MIB, 4 * MIB), ("write_zeroes", 9 * MIB + 512, 70_000)],
        [("write", 2 * MIB, 300_000, 2), ("zeros", 12 * MIB, 65_536)],
        [("flatten",)],
        [("discard", 8 * MIB, 4 * MIB), ("write_zeroes", 13 * MIB, 5000), ("write", MIB, 9, 3)],
    ]
    for number, operations in enumerate([[], *changes]):
        if operations:
            images.change(spec, *operations)
        assert modules.snapshot([spec], time=day(number))["changed"]
        if daily or number == 5:
            kinds += [item["kind"] for item in modules.backup([spec])["archives"]]
    assert kinds[5] == "diff"
    assert kinds[:4] == (["full"] * 4 if daily else ["full", "diff", "diff", "diff"])
    history.all_equal(images, modules, spec, [name(number) for number in range(6)])
