# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images and snapshots that go, or become others, before or while they are exported: the stream that rbd then writes
may end well and parse, but it is not whole. That volume fails and says why; the others and the next run go on."""

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.writer import DiffWriter
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec
from ansible_collections.rbd_backup.gfs.tests.integration import history
from ansible_collections.rbd_backup.gfs.tests.integration.history import name
from ansible_collections.rbd_backup.gfs.tests.integration.images import KIB, MIB, Images
from ansible_collections.rbd_backup.gfs.tests.integration.modules import Modules
from ansible_collections.rbd_backup.gfs.tests.integration.processes import rbd_about

SIZE = 32 * MIB  # more than all buffers between rbd and the archive hold


def remove(images: Images, spec: ImageSpec, number: int) -> None:
    images.rbd(spec, "snap", "rm", "--snap", name(number), "--no-progress")


def take(images: Images, spec: ImageSpec, number: int) -> None:
    images.rbd(spec, "snap", "create", "--snap", name(number), "--no-progress")


def replace_snapshot(images: Images, spec: ImageSpec) -> None:
    """By another one of the same name, with other data."""
    remove(images, spec, 1)
    images.change(spec, ("write", 0, MIB, 7))
    take(images, spec, 1)


def replace_image(images: Images, spec: ImageSpec) -> None:
    """By another one of the same name, with snapshots of the same names."""
    images.rbd(spec, "rename", "--dest-pool", spec.pool, "--dest", images.name().image)
    images.rbd(spec, "create", "--size", f"{SIZE}B")
    for number in range(2):
        take(images, spec, number)


# What happens in mid-export of day 1; what the run says; what the next one then exports, and from what.
FAULTS: dict[str, tuple[t.Callable[[Images, ImageSpec], None], str, list[tuple[str, str | None]]]] = {
    "snapshot gone": (lambda images, spec: remove(images, spec, 1), f"Snapshot {name(1)} ", []),
    "snapshot replaced": (replace_snapshot, f"Snapshot {name(1)} ", [(name(1), name(0))]),
    "base gone": (lambda images, spec: remove(images, spec, 0), f"Snapshot {name(0)} ", [(name(1), None)]),
    "image replaced": (replace_image, f"Snapshot {name(1)} ", [(name(0), None), (name(1), name(0))]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_in_mid_export(modules: Modules, images: Images, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    befall, says, exported_next = FAULTS[fault]
    spec, other = images.create(SIZE), images.create(history.SIZE)
    images.change(spec, ("write", 0, KIB, 1), ("snapshot", name(0)))
    assert len(modules.backup([spec])["archives"]) == 1
    images.change(spec, ("write", 0, SIZE, 2), ("snapshot", name(1)))
    take(images, other, 1)
    begun: list[bool] = []
    header = DiffWriter.header

    def befall_then_go_on(writer: DiffWriter, *args: t.Any) -> None:
        if rbd_about(spec.image):
            begun.append(True)
            befall(images, spec)
        header(writer, *args)

    with monkeypatch.context() as patch:
        patch.setattr(DiffWriter, "header", befall_then_go_on)
        result = modules.backup([spec, other], parallel=1)
    assert len(begun) == 1, "it is no matter of another attempt"
    (failure,) = result["failures"]
    assert failure["image"] == str(spec)
    assert failure["message"].startswith(says)
    assert "was removed or replaced while it was exported" in failure["message"]
    assert [item["claim"] for item in result["archives"]] == ["data-1"]
    before = history.directory_of(modules, spec)
    assert [path.name for path in before.glob("*.zst")] == [f"{name(0)}.full.zst"]
    assert not list(before.glob(".tmp-*"))
    again = modules.backup([spec, other])
    assert "failed" not in again, again
    assert [(item["snapshot"], item["base"]) for item in again["archives"]] == exported_next
    if exported_next:
        image_id = json.loads(images.rbd(spec, "info", "--format", "json"))["id"]
        target = images.name()
        assert modules.restore(target, image_ids=[image_id])["restore_point"] == name(1)
        assert images.read(target) == images.read(spec, name(1))


@pytest.mark.parametrize("where", ["gone", "in the trash"])
def test_an_image_that_vanished_is_told_and_its_archives_stay(
    modules: Modules, images: Images, where: str
) -> None:
    spec, other = images.create(history.SIZE), images.create(history.SIZE)
    history.age(images, spec, [0])
    history.age(images, other, [0])
    content = images.read(spec, name(0))
    assert len(modules.backup([spec, other])["archives"]) == 2
    directory = history.directory_of(modules, spec)
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    image_id = json.loads(images.rbd(spec, "info", "--format", "json"))["id"]
    if where == "gone":
        remove(images, spec, 0)
        images.rbd(spec, "rm", "--no-progress")
    else:
        images.rbd(spec, "trash", "mv")
    try:
        history.age(images, other, [1])
        result = modules.backup([spec, other])
    finally:
        if where != "gone":
            images.out_of_the_trash(spec.pool, image_id)
    (failure,) = result["failures"]
    assert failure["image"] == str(spec)
    assert f"image {spec}" in failure["message"]
    assert "No such file or directory" in failure["message"]
    assert [(item["claim"], item["snapshot"]) for item in result["archives"]] == [("data-1", name(1))]
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before
    assert history.restored(images, modules, name(0)) == content
