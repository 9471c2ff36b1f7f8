# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup that is disturbed where it runs: rbd or the module killed in mid-export, a target that is read-only, denied
or full. That volume fails and says why, nothing half is published, the others go on, and the next run finishes."""

from __future__ import annotations

import ctypes
import json
import os
import pathlib
import signal
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive import publish
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.publish import ArchiveWriter
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec
from ansible_collections.rbd_backup.gfs.tests.integration import history
from ansible_collections.rbd_backup.gfs.tests.integration.history import day, name
from ansible_collections.rbd_backup.gfs.tests.integration.hosts import other_host
from ansible_collections.rbd_backup.gfs.tests.integration.images import MIB, Images
from ansible_collections.rbd_backup.gfs.tests.integration.modules import Modules
from ansible_collections.rbd_backup.gfs.tests.integration.processes import about, eventually, rbd_about
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils.mounts import (
    memory,
    read_only,
    resize,
)

SIZE = 48 * MIB  # more than all buffers between rbd and the archive hold
NOBODY = 65534


@pytest.fixture
def specs(images: Images, modules_each_way: Modules) -> list[ImageSpec]:
    """A large volume and a small one, each with a snapshot."""
    return _two_volumes(images, modules_each_way)


@pytest.fixture
def local_specs(images: Images, modules: Modules) -> list[ImageSpec]:
    """The same with rbd on this host."""
    return _two_volumes(images, modules)


def _two_volumes(images: Images, modules: Modules) -> list[ImageSpec]:
    made = [images.create(SIZE), images.create(history.SIZE)]
    images.change(made[0], ("write", 0, SIZE, 1))
    images.change(made[1], ("write", 0, 300_000, 2))
    assert "failed" not in modules.snapshot(made, time=day(0))
    return made


def each_equal(images: Images, modules: Modules, specs: list[ImageSpec]) -> None:
    for number, spec in enumerate(specs):
        assert history.restored(images, modules, name(0), f"data-{number}") == images.read(spec, name(0))
    assert not list(modules.set_path.rglob(".tmp-*"))


def only_the_large_one_failed(result: dict[str, t.Any], specs: list[ImageSpec], says: str) -> None:
    assert result["failed"]
    assert [item["image"] for item in result["failures"]] == [str(specs[0])]
    assert says in result["failures"][0]["message"]
    assert [item["claim"] for item in result["archives"]] == ["data-1"]


def after_the_first_data(fault: t.Callable[[], None]) -> t.Callable[[ArchiveWriter, bytes], None]:
    write = ArchiveWriter.write

    def write_then_fault(writer: ArchiveWriter, data: bytes) -> None:
        write(writer, data)
        if writer.stream_bytes > MIB:
            fault()

    return write_then_fault


def test_rbd_killed_in_mid_export(
    modules_each_way: Modules, images: Images, specs: list[ImageSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = modules_each_way

    def kill_rbd() -> None:  # however often the export is tried
        for pid in rbd_about(specs[0].image):
            os.kill(pid, signal.SIGKILL)

    with monkeypatch.context() as patch:
        patch.setattr(ArchiveWriter, "write", after_the_first_data(kill_rbd))
        result = modules.backup(specs)
    only_the_large_one_failed(result, specs, "rbd was killed by signal 9")
    assert len(list(modules.set_path.rglob("gfs-*.zst"))) == 1
    assert not list(modules.set_path.rglob(".tmp-*"))
    eventually(lambda: not about(specs[0].image))
    again = modules.backup(specs)
    assert [item["claim"] for item in again["archives"]] == ["data-0"]
    each_equal(images, modules, specs)


def test_the_lock_lost_in_mid_export(
    modules_each_way: Modules, images: Images, specs: list[ImageSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = modules_each_way
    overtaken: list[pathlib.Path] = []

    def overtake() -> None:
        if not overtaken:
            overtaken.extend(path.parent for path in modules.set_path.rglob(".tmp-*full.zst*"))
            os.utime(overtaken[0] / ".lock", (0, 0))
            with other_host("beta", overtaken[0]) as beta:
                assert beta.line() == "holds"

    with monkeypatch.context() as patch:
        patch.setattr(publish, "_CHECKED", 0.0)
        patch.setattr(ArchiveWriter, "seal", lambda *_: pytest.fail("It went on to the end."))
        patch.setattr(ArchiveWriter, "write", after_the_first_data(overtake))
        result = modules.backup(specs[:1])
    assert [item["image"] for item in result["failures"]] == [str(specs[0])]
    message = result["failures"][0]["message"]
    assert "was lost" in message
    assert "on host beta" in message
    assert not result["archives"]
    eventually(lambda: not about(specs[0].image))
    os.utime(overtaken[0] / ".lock", (0, 0))
    assert "failed" not in modules.backup(specs)
    each_equal(images, modules, specs)


def test_the_module_killed_in_mid_export(
    modules_each_way: Modules, images: Images, specs: list[ImageSpec]
) -> None:
    modules = modules_each_way

    def die_there() -> None:
        ArchiveWriter.write = after_the_first_data(  # type: ignore[method-assign]
            lambda: os.kill(os.getpid(), signal.SIGKILL)
        )

    assert modules.run_and_die(lambda: modules.backup(specs, parallel=1), die_there)
    assert not list(modules.set_path.rglob("gfs-*"))
    assert len(list(modules.set_path.rglob(".tmp-*"))) == 1
    eventually(lambda: not about(specs[0].image))
    assert "failed" not in modules.backup(specs)
    each_equal(images, modules, specs)


def test_a_target_that_is_full(modules: Modules, images: Images, local_specs: list[ImageSpec]) -> None:
    with memory(modules.root, "8m"):
        result = modules.backup(local_specs, minimum_free=0)
        only_the_large_one_failed(result, local_specs, "There is no room in")
        assert "Make room there and run again" in result["failures"][0]["message"]
        assert len(list(modules.set_path.rglob("gfs-*.zst"))) == 1
        assert not list(modules.set_path.rglob(".tmp-*"))
        resize(modules.root, "80m")
        assert "failed" not in modules.backup(local_specs, minimum_free=0)
        each_equal(images, modules, local_specs)


def test_a_target_that_is_read_only(modules: Modules, images: Images, local_specs: list[ImageSpec]) -> None:
    with read_only(modules.root):
        assert "The file system is read-only" in modules.backup(local_specs)["msg"]
    assert list(modules.root.iterdir()) == []
    assert "failed" not in modules.backup(local_specs)
    assert "failed" not in modules.snapshot(local_specs, time=day(1))
    before = history.files(modules)
    with read_only(modules.root):
        result = modules.backup(local_specs)
        removal = modules.consolidate(
            local_specs, retention={"daily": 1, "weekly": 0, "monthly": 0}, minimum_kept_share=0, time=day(1)
        )
    for failures in (result["failures"], removal["failures"]):
        assert len(failures) == 2
        assert all("The file system is read-only" in item["message"] for item in failures)
    assert not result["changed"]
    assert not removal["changed"]
    assert history.files(modules) == before
    assert "failed" not in modules.backup(local_specs)
    each_equal(images, modules, local_specs)


def test_a_target_to_which_access_is_denied(
    modules: Modules, images: Images, local_specs: list[ImageSpec]
) -> None:
    assert "failed" not in modules.backup(local_specs)
    assert "failed" not in modules.snapshot(local_specs, time=day(1))
    large = next(modules.set_path.glob("shop/data-0/*"))
    before = history.files(modules)
    os.chown(large, NOBODY, NOBODY)
    os.chmod(large, 0o755)
    result = without_privileges(modules, lambda: modules.backup(local_specs))
    only_the_large_one_failed(result, local_specs, "Permission denied")
    assert "Give the user who runs the backup access" in result["failures"][0]["message"]
    assert {file for file in history.files(modules) if "data-0" in file} == {
        file for file in before if "data-0" in file
    }
    os.chmod(large, 0o700)
    assert "failed" not in modules.snapshot(local_specs, time=day(2))
    result = without_privileges(modules, lambda: modules.backup(local_specs))
    only_the_large_one_failed(result, local_specs, "Permission denied")
    assert "no second chain was begun" in result["failures"][0]["message"]
    os.chown(large, 0, 0)
    assert "failed" not in modules.backup(local_specs)
    each_equal(images, modules, local_specs)


def without_privileges(modules: Modules, step: t.Callable[[], dict[str, t.Any]]) -> dict[str, t.Any]:
    """Do *step* in a process of its own that may no more than the owner of the lab's files: it has no capabilities."""
    answer = modules.root / "answer"
    child = os.fork()
    if child == 0:
        try:
            header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
            assert ctypes.CDLL(None).capset(header, data) == 0
            answer.write_text(json.dumps(step()))
            os._exit(0)
        except BaseException:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    result: dict[str, t.Any] = json.loads(answer.read_text())
    answer.unlink()
    return result
