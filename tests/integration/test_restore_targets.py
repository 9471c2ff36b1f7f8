# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where rbd_restore writes to in the lab: new images and images that exist; and what it leaves when it is killed."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions import restore_content, restore_image
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.restore_image import FORMER, INCOMPLETE
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.rbd import RbdClient
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec
from ansible_collections.rbd_backup.gfs.tests.integration import history
from ansible_collections.rbd_backup.gfs.tests.integration.conftest import Lab
from ansible_collections.rbd_backup.gfs.tests.integration.history import name
from ansible_collections.rbd_backup.gfs.tests.integration.images import MIB, Images
from ansible_collections.rbd_backup.gfs.tests.integration.modules import Modules
from ansible_collections.rbd_backup.gfs.tests.integration.processes import eventually

FILES = {"known.txt": b"known\n" * 5000, "blob": os.urandom(300_000)}


def used(images: Images, spec: ImageSpec) -> int:
    """How many bytes the image uses with its snapshots, as ``rbd du`` counts them."""
    found = json.loads(images.rbd(spec, "du", "--format", "json"))["images"]
    return sum(item["used_size"] for item in found)


def test_a_file_system_is_restored_with_its_files_and_as_thin(
    modules_each_way: Modules, images: Images, tmp_path: pathlib.Path
) -> None:
    modules = modules_each_way
    spec, tree, raw = images.name(), tmp_path / "tree", tmp_path / "made.raw"
    tree.mkdir()
    for file, content in FILES.items():
        (tree / file).write_bytes(content)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", str(tree), str(raw), "64M"], check=True)
    images._run("import", "--no-progress", str(raw), str(spec))
    modules.snapshot([spec], time=history.day(0))
    modules.backup([spec])
    target = images.name()
    result = modules.restore(target)
    assert "failed" not in result, result
    restored = tmp_path / "restored.raw"
    restored.write_bytes(images.read(target))
    subprocess.run(["e2fsck", "-f", "-n", str(restored)], check=True, capture_output=True)
    for file, content in FILES.items():
        done = subprocess.run(
            ["debugfs", "-R", f"cat {file}", str(restored)], check=True, capture_output=True
        )
        assert done.stdout == content
    assert images.allocated(target) <= images.allocated(spec)
    assert used(images, target) <= used(images, spec)
    assert modules.restore_to({"raw": str(tmp_path / "x.raw")}, claim="data-0")["raw"] == str(
        tmp_path / "x.raw"
    )
    assert (tmp_path / "x.raw").read_bytes() == restored.read_bytes()


def test_an_image_is_overwritten_only_where_that_is_wanted_and_nobody_uses_it(
    modules_each_way: Modules, images: Images
) -> None:
    modules = modules_each_way
    spec = history.backed_up(images, modules, 2)
    first, second = images.read(spec, name(0)), images.read(spec, name(1))
    overwrite = {"place": {"overwrite": True}, "restore_point": name(0)}
    with images.opened(spec):
        refused = modules.restore(spec, **overwrite)
    assert "watcher" in refused["msg"]
    assert images.read(spec) == second
    result = modules.restore(spec, **overwrite)
    assert result["overwritten"], result
    assert images.read(spec) == first
    assert INCOMPLETE not in images.metadata(spec)
    assert history.snapshots(images, spec) == [name(0), name(1)]
    # what comes after is a diff against a snapshot from before, and right
    history.live(images, modules, spec, [2])
    history.all_equal(images, modules, spec, [name(1), name(2)])


def test_an_image_that_is_not_wholly_overwritten_says_so_until_it_is(
    modules: Modules, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = history.backed_up(images, modules, 1)
    target = images.create(8 * MIB)

    def die() -> None:
        monkeypatch.setattr(
            restore_content.Content, "_compare", lambda *_args: os.kill(os.getpid(), signal.SIGKILL)
        )

    assert modules.run_and_die(lambda: modules.restore(target, place={"overwrite": True}), die)
    assert images.metadata(target)[INCOMPLETE].startswith(f"incomplete: {name(0)},")
    new = images.name()
    assert modules.run_and_die(lambda: modules.restore(new), die)
    left = images.left_of(new)
    assert [image.split(".")[1][:17] for image in left] == ["unproved-restore-"]
    images.adopt([ImageSpec(new.pool, "", image) for image in left])
    assert modules.restore(new)["changed"]
    assert images.read(new) == images.read(spec, name(0))

    def complete() -> bool:
        result = modules.restore(target, place={"overwrite": True})
        assert result["changed"] or "watcher" in result["msg"], result
        return bool(result["changed"])

    eventually(complete, seconds=120)  # a client that was killed counts as a watcher for half a minute
    assert INCOMPLETE not in images.metadata(target)
    assert images.read(target) == images.read(spec, name(0))


def test_an_image_that_somebody_else_writes_to_while_it_is_overwritten_is_never_called_restored(
    modules: Modules, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = history.backed_up(images, modules, 2)
    target = images.create(history.SIZE)
    empty, fill = RbdClient.empty_image, restore_image._fill
    overwrite: dict[str, t.Any] = {"place": {"overwrite": True}}

    with monkeypatch.context() as patched, contextlib.ExitStack() as users:

        def fill_in_use(*args: t.Any) -> str:
            users.enter_context(images.opened(target))
            return fill(*args)

        patched.setattr(restore_image, "_fill", fill_in_use)
        result = modules.restore(target, restore_point=name(0), **overwrite)
        assert "taken into use" in result["msg"]
        assert result["changed"]
    assert INCOMPLETE in images.metadata(target)

    with monkeypatch.context() as patched:
        inner: list[dict[str, t.Any]] = []

        def empty_and_wait(client: RbdClient, *args: t.Any) -> None:
            empty(client, *args)
            if not inner:
                inner.append({})
                inner[0] = modules.restore(target, restore_point=name(1), **overwrite)

        patched.setattr(RbdClient, "empty_image", empty_and_wait)
        result = modules.restore(target, restore_point=name(0), **overwrite)
        assert "Another restore" in result["msg"]
    assert inner[0]["changed"]
    assert images.read(target) == images.read(spec, name(1))


def test_metadata_and_places_that_are_not_there(modules: Modules, images: Images, lab: Lab) -> None:
    spec = images.create(history.SIZE)
    images.rbd(spec, "image-meta", "set", "rbd.csi.ceph.com/dek", "wrapped")
    images.rbd(spec, "image-meta", "set", "conf_rbd_cache", "false")
    history.age(images, spec, range(1))
    modules.backup([spec])
    plain, all_of_it = images.name(), images.name()
    assert modules.restore(plain)["metadata"] == ["rbd.csi.ceph.com/dek"]
    assert images.metadata(plain) == {"rbd.csi.ceph.com/dek": "wrapped"}
    modules.restore(all_of_it, place={"metadata": True})
    assert images.metadata(all_of_it) == images.metadata(spec)
    for check_mode in (True, False):
        for place, word in (
            ({"rados_namespace": "nowhere"}, "no RADOS namespace nowhere"),
            ({"data_pool": "no-pool"}, "no pool no-pool"),
        ):
            refused = modules.restore(images.name(), place=place, check_mode=check_mode)
            assert word in refused["msg"]
    there = images.name(lab.pool, lab.rados_namespace)
    assert modules.restore(there)["image"] == str(there)
    apart = images.name()
    assert modules.restore(apart, place={"data_pool": lab.other_pool})["changed"]
    assert json.loads(images.rbd(apart, "info", "--format", "json"))["data_pool"] == lab.other_pool
    for image in (there, apart):
        assert images.read(image) == images.read(spec, name(0))
    # each restore point with the key that it was written with, or with both where nobody saw which one that was
    dek = "rbd.csi.ceph.com/dek"
    images.rbd(spec, "image-meta", "set", dek, "changed")
    history.live(images, modules, spec, [1])
    for number, keys in ((0, {dek: "wrapped"}), (1, {dek: "changed", FORMER + dek: "wrapped"})):
        image = images.name()
        result = modules.restore(image, restore_point=name(number), place={"metadata": number == 1})
        assert {key: value for key, value in images.metadata(image).items() if dek in key} == keys
        assert (f"under {FORMER}" in str(result["warnings"])) is (number == 1)
