# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The RBD client when something dies, hangs or lies, on the lab's Ceph and in its pods: never a good end, nothing
left running."""

from __future__ import annotations

import os
import pathlib
import signal
import socket
import subprocess
import sys
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph import near_side, pod
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.access import open_ceph
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.rbd import RbdClient
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.runner import InputStream, OutputStream
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import CephError
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.client import Cluster
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.exec import STDERR, STDOUT
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec
from ansible_collections.rbd_backup.gfs.tests.integration.conftest import Lab
from ansible_collections.rbd_backup.gfs.tests.integration.images import MIB, Images
from ansible_collections.rbd_backup.gfs.tests.integration.meddling import LATE_FAULTS, meddle
from ansible_collections.rbd_backup.gfs.tests.integration.processes import about, eventually, rbd_about

SIZE = 32 * MIB
TESTS = pathlib.Path(__file__).resolve().parents[1]


@pytest.fixture
def image(images: Images) -> ImageSpec:
    """An image with a snapshot ``s`` of more data than all buffers between rbd and a test hold."""
    spec = images.create(SIZE)
    images.change(spec, ("write", 0, SIZE, 5))
    images.rbd(spec, "snap", "create", "--snap", "s")
    return spec


@pytest.fixture
def impatient(way: str, lab: Lab, cluster: Cluster) -> RbdClient:
    """A client that waits for nothing longer than 8 s: on a busy machine rbd takes some to begin."""
    return open_ceph(lab.ceph_options(way, command_timeout=8, stall_timeout=8), lambda: cluster)


@pytest.fixture
def fresh_rbd(lab: Lab, cluster: Cluster) -> t.Iterator[RbdClient]:
    """A client through the toolbox pod that has no connection yet."""
    client = open_ceph(lab.ceph_options("toolbox"), lambda: cluster)
    yield client
    client.close()


def drain(stream: OutputStream) -> bytes:
    return b"".join(iter(stream.read, b""))


def feed(stream: InputStream, data: bytes) -> None:
    stream.write(data)
    stream.finish()


def exported(client: RbdClient, spec: ImageSpec) -> bytes:
    with client.export_diff(spec, "s", None) as stream:
        return drain(stream)


def test_rbd_killed_in_mid_stream(any_rbd: RbdClient, image: ImageSpec) -> None:
    with any_rbd.export_diff(image, "s", None) as stream:
        assert stream.read(1)
        for pid in rbd_about(image.image):
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(CephError, match="killed by signal 9"):
            drain(stream)
        with pytest.raises(CephError):
            stream.finish()
    eventually(lambda: not about(image.image))


def test_rbd_that_hangs_in_mid_stream(impatient: RbdClient, image: ImageSpec) -> None:
    with impatient.export_diff(image, "s", None) as stream:
        assert stream.read(1)
        for pid in rbd_about(image.image):
            os.kill(pid, signal.SIGSTOP)
        with pytest.raises(CephError, match=r"Exporting .* failed .* stood still for 8 s"):
            drain(stream)
    eventually(lambda: not about(image.image))


def test_an_export_that_is_left_leaves_no_process(any_rbd: RbdClient, image: ImageSpec) -> None:
    with any_rbd.export_diff(image, "s", None) as stream:
        assert stream.read(1)
        assert rbd_about(image.image)
    eventually(lambda: not about(image.image))


def test_an_import_that_is_left_is_not_completed_and_leaves_no_process(
    any_rbd: RbdClient, local_rbd: RbdClient, images: Images, image: ImageSpec
) -> None:
    target = images.create(1)
    data = exported(local_rbd, image)
    with any_rbd.import_diff(target) as stream:
        stream.write(data)
        eventually(lambda: rbd_about(target.image))
    eventually(lambda: not about(target.image))
    assert local_rbd.snapshots(target) == ()


def test_an_import_of_half_a_stream_is_an_error(
    any_rbd: RbdClient, local_rbd: RbdClient, images: Images, image: ImageSpec
) -> None:
    target = images.create(1)
    data = exported(local_rbd, image)
    with any_rbd.import_diff(target) as stream:
        stream.write(data[: len(data) // 2])
        with pytest.raises(CephError, match=r"Importing into .* failed"):
            stream.finish()
    assert local_rbd.snapshots(target) == ()


def test_an_import_that_rbd_refuses_says_why(any_rbd: RbdClient, images: Images) -> None:
    target = images.create(1)
    with any_rbd.import_diff(target) as stream:
        with pytest.raises(CephError, match="import-diff failed"):
            feed(stream, b"not a diff" * 5_000_000)
    eventually(lambda: not about(target.image))


def test_a_client_that_is_killed_leaves_no_process(way: str, lab: Lab, image: ImageSpec) -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import conftest, signal\n"
        "from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.access import open_ceph\n"
        "from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.client import connect\n"
        "from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec\n"
        "client = open_ceph(eval(sys.argv[2]), lambda: connect({'kubeconfig': sys.argv[3]}))\n"
        "stream = client.export_diff(ImageSpec(sys.argv[4], '', sys.stdin.readline().strip()), 's', None)\n"
        "stream.read(1)\n"
        "print('reading', flush=True)\n"
        "signal.pause()\n"
    )
    command = [
        sys.executable,
        "-c",
        program,
        str(TESTS),
        repr(lab.ceph_options(way)),
        lab.kubeconfig,
        image.pool,
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
        t.cast(t.IO[bytes], client.stdin).write(f"{image.image}\n".encode())
        t.cast(t.IO[bytes], client.stdin).close()
        assert t.cast(t.IO[bytes], client.stdout).readline() == b"reading\n"
        assert rbd_about(image.image)
        client.kill()
    eventually(lambda: not about(image.image))


def test_the_far_side_killed_in_mid_stream(toolbox_rbd: RbdClient, image: ImageSpec) -> None:
    with toolbox_rbd.export_diff(image, "s", None) as stream:
        assert stream.read(1)
        for pid, words in about(image.image).items():
            if words[0] == "python3":
                os.kill(pid, signal.SIGKILL)
        with pytest.raises(CephError, match="may be cut short and is not to be used"):
            drain(stream)
    eventually(lambda: not about(image.image))


@pytest.mark.parametrize("fault", LATE_FAULTS)
def test_fault_injection_a_frame_of_output(
    monkeypatch: pytest.MonkeyPatch, toolbox_rbd: RbdClient, image: ImageSpec, fault: str
) -> None:
    meddle(monkeypatch, came=LATE_FAULTS[fault]())
    with pytest.raises(CephError, match="damaged on its way"):
        exported(toolbox_rbd, image)


ANSWERS: dict[str, tuple[t.Callable[[bytes], list[bytes]], str]] = {
    "cut": (lambda data: [b"[]"], "may be cut short and is not to be used"),
    "twice": (lambda data: [data, data], "damaged on its way"),
    "bit": (lambda data: [bytes((data[0] ^ 1,)) + data[1:]], "damaged on its way"),
}


@pytest.mark.parametrize("fault", ANSWERS)
def test_fault_injection_an_answer_that_is_damaged_is_no_answer(
    monkeypatch: pytest.MonkeyPatch, fresh_rbd: RbdClient, image: ImageSpec, fault: str
) -> None:
    monkeypatch.setattr(near_side, "_LAG", 0.5)
    change, why = ANSWERS[fault]

    def came(channel: int, data: bytes) -> list[tuple[int, bytes]]:
        return [(channel, piece) for piece in change(data)] if channel == STDOUT else [(channel, data)]

    meddle(monkeypatch, came=came)
    with pytest.raises(CephError, match=why):
        fresh_rbd.snapshots(image)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[t.Any]:
    """Every connection to a pod, as it is opened."""
    connections: list[t.Any] = []
    real = pod.open_exec

    def keep(*args: t.Any, **kwargs: t.Any) -> t.Any:
        connections.append(real(*args, **kwargs))
        return connections[-1]

    monkeypatch.setattr(pod, "open_exec", keep)
    return connections


def test_questions_share_a_connection_while_it_stands(
    opened: list[t.Any], fresh_rbd: RbdClient, image: ImageSpec
) -> None:
    for _again in range(3):
        assert [snapshot.name for snapshot in fresh_rbd.snapshots(image)] == ["s"]
    with pytest.raises(CephError, match="No such file"):
        fresh_rbd.info(ImageSpec(image.pool, "", "no-such-image"))
    assert len(opened) == 1
    opened[0]._socket.sock.shutdown(socket.SHUT_RDWR)
    assert [snapshot.name for snapshot in fresh_rbd.snapshots(image)] == ["s"]
    assert len(opened) == 2


def test_a_connection_that_was_silent_for_long_is_not_trusted(
    monkeypatch: pytest.MonkeyPatch, opened: list[t.Any], fresh_rbd: RbdClient, image: ImageSpec
) -> None:
    monkeypatch.setattr(pod, "_FRESH", 0.0)
    for number in range(1, 3):
        assert [snapshot.name for snapshot in fresh_rbd.snapshots(image)] == ["s"]
        assert len(opened) == number


def test_fault_injection_the_far_side_says_no_end(
    monkeypatch: pytest.MonkeyPatch, toolbox_rbd: RbdClient, image: ImageSpec
) -> None:
    meddle(monkeypatch, came=lambda channel, data: [] if channel == STDERR else [(channel, data)])
    with pytest.raises(CephError, match="did not say how rbd ended"):
        exported(toolbox_rbd, image)


def test_fault_injection_an_end_that_is_not_from_the_far_side(
    monkeypatch: pytest.MonkeyPatch, toolbox_rbd: RbdClient, image: ImageSpec
) -> None:
    forged = b'0123 {"end": {"rc": 0, "why": "", "bytes": 0, "sha256": "", "stderr": ""}}\n'
    meddle(monkeypatch, came=lambda channel, data: [(channel, forged if channel == STDERR else data)])
    with pytest.raises(CephError, match="did not say how rbd ended"):
        exported(toolbox_rbd, image)


def test_fault_injection_input_that_is_damaged_on_its_way_is_not_completed(
    monkeypatch: pytest.MonkeyPatch,
    toolbox_rbd: RbdClient,
    local_rbd: RbdClient,
    images: Images,
    image: ImageSpec,
) -> None:
    target = images.create(1)
    data = exported(local_rbd, image)
    meddle(
        monkeypatch,
        sent=lambda part: part[:-9] + bytes((part[-9] ^ 1,)) + part[-8:] if len(part) > MIB else part,
    )
    with toolbox_rbd.import_diff(target) as stream:
        with pytest.raises(CephError, match="arrived damaged"):
            feed(stream, data)
    monkeypatch.undo()
    eventually(lambda: not about(target.image))
    assert local_rbd.snapshots(target) == ()


def test_a_connection_that_is_cut(opened: list[t.Any], toolbox_rbd: RbdClient, image: ImageSpec) -> None:
    with toolbox_rbd.export_diff(image, "s", None) as stream:
        assert stream.read(1)
        opened[-1]._socket.sock.shutdown(socket.SHUT_RDWR)
        with pytest.raises(CephError, match="lost before it ended"):
            drain(stream)
    eventually(lambda: not about(image.image))
