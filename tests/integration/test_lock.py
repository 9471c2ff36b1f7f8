# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One writer per volume, with the modules on the lab's Ceph: another process, a killed one, and two hosts that share
the backup directory (see hosts.py for what of them is simulated)."""

from __future__ import annotations

import os
import pathlib
import signal
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive import lock
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.publish import ArchiveWriter
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec
from ansible_collections.rbd_backup.gfs.tests.integration import history
from ansible_collections.rbd_backup.gfs.tests.integration.history import day, name
from ansible_collections.rbd_backup.gfs.tests.integration.hosts import HOLD, READ, content, other_host
from ansible_collections.rbd_backup.gfs.tests.integration.images import Images
from ansible_collections.rbd_backup.gfs.tests.integration.modules import Modules
from ansible_collections.rbd_backup.gfs.tests.integration.processes import eventually
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils.mounts import read_only

ONE_DAILY = {"daily": 1, "weekly": 0, "monthly": 0}


@pytest.fixture
def spec(modules: Modules, images: Images) -> ImageSpec:
    """A volume with an archive of its first day, and a snapshot of the second."""
    spec = history.backed_up(images, modules, 1)
    history.age(images, spec, [1])
    return spec


def consolidate_to_one(
    modules: Modules, spec: ImageSpec, newest: int = 1, **options: t.Any
) -> dict[str, t.Any]:
    keep = {"retention": ONE_DAILY, "time": day(newest), "minimum_kept_share": 0}
    return modules.consolidate([spec], **keep, **options)


def test_another_process(modules: Modules, spec: ImageSpec) -> None:
    directory = history.volume_directory(modules)
    before = history.files(modules)
    ready, tell = os.pipe()
    child = os.fork()
    if not child:
        with lock.VolumeLock(str(directory)):
            os.write(tell, b"x")
            signal.pause()
    os.read(ready, 1)
    result = modules.backup([spec])
    assert f"in use by another run (pid {child} on host" in result["failures"][0]["message"]
    assert result["failed"]
    assert not result["changed"]
    assert history.files(modules) == before
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert modules.backup([spec])["changed"]


def test_a_killed_module_is_taken_over_at_once(modules: Modules, images: Images, spec: ImageSpec) -> None:
    def die_while_sealing() -> None:
        ArchiveWriter.seal = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]

    assert modules.run_and_die(lambda: modules.backup([spec]), die_while_sealing)
    assert not content(history.volume_directory(modules))["released"]
    assert "failed" not in modules.backup([spec])
    history.all_equal(images, modules, spec, [name(0), name(1)])


@pytest.mark.parametrize("blind", [False, True])
def test_another_host_is_respected_by_every_module_that_writes(
    modules: Modules, spec: ImageSpec, blind: bool
) -> None:
    directory = history.volume_directory(modules)
    before = history.files(modules)
    with other_host("beta", directory, HOLD, blind) as beta:
        assert beta.line() == "holds"
        messages = set()
        for check in (True, False):
            backup = modules.backup([spec], check_mode=check)
            for result in (backup, consolidate_to_one(modules, spec, check_mode=check)):
                messages.add(result["failures"][0]["message"])
                assert not result["changed"]
        (message,) = messages  # a preview says what the run will say
        assert "on host beta since" in message
        assert history.files(modules) == before
        beta.go_on()
        assert beta.line() == "still holds"
        beta.ended()
    assert "failed" not in modules.backup([spec])


def test_a_host_that_died_is_waited_for_until_its_lease_is_over(modules: Modules, spec: ImageSpec) -> None:
    directory = history.volume_directory(modules)
    with other_host("beta", directory) as beta:
        assert beta.line() == "holds"
        beta.kill()
        assert "on host beta" in modules.backup([spec])["failures"][0]["message"]
        an_hour_ago = os.stat(directory / ".lock").st_mtime - 3600
        os.utime(directory / ".lock", (an_hour_ago, an_hour_ago))  # instead of waiting for an hour
        assert "failed" not in modules.backup([spec])


def test_a_host_that_was_cut_off_and_replaced_stops(modules: Modules, spec: ImageSpec) -> None:
    directory = history.volume_directory(modules)
    with other_host("beta", directory, seconds=2) as beta:
        assert beta.line() == "holds"
        beta.freeze()

        def alpha_gets_it() -> bool:
            return "failed" not in modules.backup([spec])

        eventually(alpha_gets_it)
        assert content(directory)["host"] == os.uname().nodename
        beta.go_on()
        beta.thaw()
        assert "was lost" in beta.line()
        beta.ended()
    assert content(directory)["released"]


def test_two_hosts_over_each_other_never_both_write(modules: Modules, spec: ImageSpec) -> None:
    """The module in mid-export loses its lease to another host: it publishes nothing."""
    directory = history.volume_directory(modules)
    before = set(history.files(modules))
    seal = ArchiveWriter.seal

    with pytest.MonkeyPatch.context() as patch:

        def overtaken(writer: ArchiveWriter, *words: t.Any) -> t.Any:
            sealed = seal(writer, *words)
            os.utime(directory / ".lock", (0, 0))
            with other_host("beta", directory) as beta:
                assert beta.line() == "holds"
            return sealed

        patch.setattr(ArchiveWriter, "seal", overtaken)
        result = modules.backup([spec])
    message = result["failures"][0]["message"]
    assert "was lost" in message
    assert "on host beta" in message
    assert set(history.files(modules)) == before
    os.utime(directory / ".lock", (0, 0))
    assert "failed" not in modules.backup([spec])


def test_a_reader_on_another_host_keeps_what_it_reads(
    modules: Modules, images: Images, spec: ImageSpec
) -> None:
    assert "failed" not in modules.backup([spec])
    directory = history.volume_directory(modules)
    with other_host("beta", directory, READ) as beta:
        assert beta.line() == "holds"
        history.live(images, modules, spec, [2])  # exports go on beside it
        before = history.files(modules)
        preview = consolidate_to_one(modules, spec, 2, check_mode=True)
        assert history.files(modules) == before
        result = consolidate_to_one(modules, spec, 2)
        message = result["failures"][0]["message"]
        assert preview["failures"] == result["failures"]
        assert preview["changed"] == result["changed"]
        assert "being read by pid" in message
        assert "on host beta" in message
        assert "No archive was removed" in message
        history.all_equal(images, modules, spec, [name(0), name(1), name(2)])
        assert history.snapshots(images, spec) == [name(0), name(1), name(2)]
        beta.go_on()
        beta.line()
        beta.ended()
    result = consolidate_to_one(modules, spec, 2)
    assert "failed" not in result, result
    assert history.snapshots(images, spec) == [name(2)]
    assert not list(directory.glob(".reading-*"))


def test_restore_from_a_read_only_mount_needs_no_lock_and_says_so(
    modules: Modules, images: Images, spec: ImageSpec
) -> None:
    target = images.name()
    with read_only(modules.root):
        result = modules.restore(target)
    assert "read without a lock" in str(result["warnings"])
    assert "read-only" in str(result["warnings"])
    assert images.read(target) == images.read(spec, name(0))


def test_a_restore_that_can_write_leaves_no_trace_but_its_proof(
    modules: Modules, images: Images, spec: ImageSpec
) -> None:
    before = set(history.files(modules))
    assert not modules.restore(images.name()).get("warnings")
    assert {pathlib.Path(file).name for file in set(history.files(modules)) - before} == {"proof.json"}
