# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup whose pod restarts or is replaced in mid-export: that is noticed, and the export is begun again."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import threading
import typing as t
import uuid

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions import archiving
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.publish import ArchiveWriter
from ansible_collections.rbd_backup.gfs.tests.integration import history
from ansible_collections.rbd_backup.gfs.tests.integration.conftest import Lab
from ansible_collections.rbd_backup.gfs.tests.integration.history import day, name
from ansible_collections.rbd_backup.gfs.tests.integration.images import MIB, Images
from ansible_collections.rbd_backup.gfs.tests.integration.modules import Modules
from ansible_collections.rbd_backup.gfs.tests.integration.processes import about, eventually

SIZE = 48 * MIB  # more than all buffers between rbd and the archive hold


class Toolbox:
    """A toolbox of this test's own, that it may break: a copy of Rook's under another name."""

    def __init__(self, lab: Lab) -> None:
        self._kubectl = ["kubectl", "--kubeconfig", lab.admin_kubeconfig, "--namespace", "rook-ceph"]
        self._name = f"test-tools-{uuid.uuid4().hex[:8]}"
        self.selector = f"app={self._name}"
        self._gone: set[str] = set()

    def start(self) -> None:
        deployment = json.loads(self._do("get", "deployment", "rook-ceph-tools", "--output", "json"))
        deployment["metadata"] = {"name": self._name}
        labels = {"app": self._name}
        deployment["spec"]["selector"]["matchLabels"] = labels
        deployment["spec"]["template"]["metadata"] = {"labels": labels}
        self._do("apply", "--filename", "-", stdin=json.dumps(deployment))
        self.wait()

    def wait(self) -> None:
        """Wait until there is one pod, and it is ready: with another container than those that are gone, of which the
        API server may not know yet."""

        def is_ready() -> bool:
            containers = self._containers()
            return (
                len(containers) == 1
                and containers[0]["ready"]
                and containers[0]["containerID"] not in self._gone
            )

        eventually(is_ready, seconds=120)

    def replace(self) -> None:
        """Remove the pod: another one takes its place."""
        self._leave()
        self._do("delete", "pod", "--selector", self.selector, "--grace-period=0", "--force")

    def restart(self) -> None:
        """Kill the first process of its container, which ends all others there; the pod stays the same one."""
        container = self._leave().rpartition("/")[2]
        for directory in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                is_there = container in (directory / "cgroup").read_text()
                is_first = (
                    (directory / "status").read_text().partition("NSpid:")[2].split("\n")[0].split()[1:]
                )
            except OSError:
                continue  # it ended meanwhile
            if is_there and is_first == ["1"]:
                os.kill(int(directory.name), signal.SIGKILL)

    def _leave(self) -> str:
        (container,) = self._containers()
        self._gone.add(container["containerID"])
        return str(container["containerID"])

    def _containers(self) -> list[dict[str, t.Any]]:
        pods = json.loads(self._do("get", "pods", "--selector", self.selector, "--output", "json"))["items"]
        return [status for pod in pods for status in pod["status"].get("containerStatuses", ())]

    def remove(self) -> None:
        self._do("delete", "deployment", self._name, "--wait=false", "--ignore-not-found")

    def _do(self, *words: str, stdin: str | None = None) -> str:
        return subprocess.run(
            [*self._kubectl, *words], input=stdin, check=True, text=True, stdout=subprocess.PIPE
        ).stdout


@pytest.fixture
def toolbox(lab: Lab) -> t.Iterator[Toolbox]:
    own = Toolbox(lab)
    try:
        own.start()
        yield own
    finally:
        own.remove()


@pytest.mark.parametrize("fault", [Toolbox.restart, Toolbox.replace])
def test_a_pod_that_goes_in_mid_export_is_noticed_and_the_export_begun_again(
    lab: Lab,
    images: Images,
    toolbox: Toolbox,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: t.Callable[[Toolbox], None],
) -> None:
    modules = Modules(lab.ceph_options("toolbox", selector=toolbox.selector), tmp_path, lab.kubeconfig)
    spec = images.create(SIZE)
    images.change(spec, ("write", 0, SIZE, 1))
    assert "failed" not in modules.snapshot([spec], time=day(0))
    write, happened = ArchiveWriter.write, threading.Event()
    pause = archiving.Exporter._pause

    def write_then_fault(writer: ArchiveWriter, data: bytes) -> None:
        write(writer, data)
        if writer.stream_bytes > MIB and not happened.is_set():
            happened.set()
            fault(toolbox)

    def wait_for_the_pod(exporter: archiving.Exporter, _seconds: float) -> None:
        eventually(lambda: not about(spec.image))
        toolbox.wait()
        pause(exporter, 0.0)

    monkeypatch.setattr(ArchiveWriter, "write", write_then_fault)
    monkeypatch.setattr(archiving.Exporter, "_pause", wait_for_the_pod)
    result = modules.backup([spec])
    assert happened.is_set()
    assert "failed" not in result, result
    assert [item["attempts"] for item in result["archives"]] == [2]
    history.all_equal(images, modules, spec, [name(0)])
