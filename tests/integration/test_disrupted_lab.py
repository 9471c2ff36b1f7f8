# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup whose node, OSD or monitor dies or hangs in mid-export: it fails in bounded time, says so, publishes nothing
half, and the next run finishes. These tests break the lab for everybody and mend it, so they run alone."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import signal
import subprocess
import threading
import time
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions import archiving
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.publish import ArchiveWriter
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph import pod
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec
from ansible_collections.rbd_backup.gfs.tests.integration import history
from ansible_collections.rbd_backup.gfs.tests.integration.conftest import LAB, Lab, modules_in
from ansible_collections.rbd_backup.gfs.tests.integration.history import day, name
from ansible_collections.rbd_backup.gfs.tests.integration.images import MIB, Images
from ansible_collections.rbd_backup.gfs.tests.integration.modules import Modules
from ansible_collections.rbd_backup.gfs.tests.integration.processes import about, eventually

pytestmark = pytest.mark.disruptive

SIZE = 48 * MIB  # more than all buffers between rbd and the archive hold
IMPATIENT = {"command_timeout": 5, "stall_timeout": 5}


@dataclasses.dataclass(frozen=True)
class Daemons:
    """The processes of the lab."""

    directory: pathlib.Path

    def signal(self, name: str, number: int) -> None:
        """Send a signal to a daemon, and wait until it has taken effect."""
        pid = int((self.directory / "pids" / name).read_text())
        os.kill(pid, number)
        wanted = {signal.SIGKILL: "ZX-", signal.SIGSTOP: "T"}.get(signal.Signals(number))
        eventually(lambda: wanted is None or _state(pid) in wanted)

    def mend(self) -> None:
        """Start what does not run, and let go on what was stopped."""
        for file in (self.directory / "pids").iterdir():
            pid = int(file.read_text())
            if _state(pid) == "T":
                os.kill(pid, signal.SIGCONT)
        subprocess.run([str(LAB), "up"], check=True, timeout=120)


@pytest.fixture
def daemons(lab: Lab) -> t.Iterator[Daemons]:
    """The processes of the lab, all in order after the test."""
    there = Daemons(pathlib.Path(lab.directory))
    try:
        yield there
    finally:
        there.mend()


@pytest.fixture
def specs(images: Images) -> list[ImageSpec]:
    """A large volume and a small one."""
    made = [images.create(SIZE), images.create(history.SIZE)]
    images.change(made[0], ("write", 0, SIZE, 1))
    images.change(made[1], ("write", 0, 300_000, 2))
    return made


def in_mid_export(monkeypatch: pytest.MonkeyPatch, fault: t.Callable[[], None]) -> threading.Event:
    """Let *fault* happen once, when the first data of an archive was written. Returns whether it has happened.

    It is tried again at once: nothing mends itself meanwhile."""
    write, happened = ArchiveWriter.write, threading.Event()

    def write_then_fault(writer: ArchiveWriter, data: bytes) -> None:
        write(writer, data)
        if writer.stream_bytes > MIB and not happened.is_set():
            happened.set()
            fault()

    monkeypatch.setattr(archiving, "PAUSES", (0.0,))
    monkeypatch.setattr(pod, "PAUSES", ())
    monkeypatch.setattr(ArchiveWriter, "write", write_then_fault)
    return happened


def fails_and_the_next_run_finishes(
    modules: Modules,
    images: Images,
    specs: list[ImageSpec],
    daemons: Daemons,
    monkeypatch: pytest.MonkeyPatch,
    fault: t.Callable[[], None],
) -> list[str]:
    """Returns the messages of the run in which *fault* happened, that of the volume which it hit first."""
    assert "failed" not in modules.snapshot(specs, time=day(0))
    with monkeypatch.context() as patch:
        happened = in_mid_export(patch, fault)
        started = time.monotonic()
        result = modules.backup(specs, parallel=1)
    assert happened.is_set()
    assert time.monotonic() - started < 100, "waiting is bounded"
    assert result["failed"]
    messages = {item["image"]: item["message"] for item in result["failures"]}
    assert set(messages) == {str(spec) for spec in specs}
    assert result["archives"] == []
    assert not list(modules.set_path.rglob("gfs-*"))
    assert not list(modules.set_path.rglob(".tmp-*"))
    daemons.mend()
    eventually(lambda: not any(about(spec.image) for spec in specs))
    again = modules.backup(specs)
    assert "failed" not in again, again
    for number, spec in enumerate(specs):
        assert history.restored(images, modules, name(0), f"data-{number}") == images.read(spec, name(0))
    return [messages[str(spec)] for spec in specs]


@pytest.mark.parametrize("killed", [("kubelet",), ("kubelet", "containerd")])
def test_the_kubelet_killed_alone_and_with_containerd(
    impatient_toolbox: Modules,
    images: Images,
    specs: list[ImageSpec],
    daemons: Daemons,
    monkeypatch: pytest.MonkeyPatch,
    killed: tuple[str, ...],
) -> None:
    def kill_the_node() -> None:
        for daemon in killed:
            daemons.signal(daemon, signal.SIGKILL)

    messages = fails_and_the_next_run_finishes(
        impatient_toolbox, images, specs, daemons, monkeypatch, kill_the_node
    )
    assert all("pod rook-ceph/" in message for message in messages), messages


def test_a_kubelet_that_is_restarted_is_waited_for(
    lab: Lab, tmp_path: pathlib.Path, specs: list[ImageSpec], daemons: Daemons
) -> None:
    modules = modules_in(lab, tmp_path, "toolbox")
    daemons.signal("kubelet", signal.SIGKILL)
    mending = threading.Thread(target=daemons.mend)
    mending.start()
    try:
        result = modules.snapshot(specs, time=day(0))
    finally:
        mending.join()
    assert "failed" not in result, result
    assert "failed" not in modules.backup(specs)


@pytest.mark.parametrize(
    ("way", "number"),
    [("local", signal.SIGSTOP), ("local", signal.SIGKILL), ("toolbox", signal.SIGKILL)],
)
def test_the_osd_is_gone_or_hangs(
    impatient_each_way: Modules,
    images: Images,
    specs: list[ImageSpec],
    daemons: Daemons,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
) -> None:
    messages = fails_and_the_next_run_finishes(
        impatient_each_way,
        images,
        specs,
        daemons,
        monkeypatch,
        lambda: daemons.signal("ceph-osd", number),
    )
    assert "stood still for 5 s" in messages[0], messages
    assert "did not end within 5 s" in messages[1], messages


def test_the_monitor_is_gone(
    impatient_local: Modules,
    images: Images,
    specs: list[ImageSpec],
    daemons: Daemons,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is read needs no monitor, so the export goes on to its end; what is asked after it does."""
    messages = fails_and_the_next_run_finishes(
        impatient_local,
        images,
        specs,
        daemons,
        monkeypatch,
        lambda: daemons.signal("ceph-mon", signal.SIGKILL),
    )
    assert all("monitors" in message for message in messages), messages


@pytest.fixture
def impatient_toolbox(lab: Lab, tmp_path: pathlib.Path) -> Modules:
    """The modules, with rbd in the toolbox pod, which wait for nothing longer than 5 s."""
    return modules_in(lab, tmp_path, "toolbox", **IMPATIENT)


@pytest.fixture
def impatient_local(lab: Lab, tmp_path: pathlib.Path) -> Modules:
    """The modules, with rbd on this host, which wait for nothing longer than 5 s."""
    return modules_in(lab, tmp_path, "local", **IMPATIENT)


@pytest.fixture
def impatient_each_way(lab: Lab, tmp_path: pathlib.Path, way: str) -> Modules:
    """The modules, which wait for nothing longer than 5 s, each way."""
    return modules_in(lab, tmp_path, way, **IMPATIENT)


def _state(pid: int) -> str:
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "-"
