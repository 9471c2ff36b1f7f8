# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands in a pod, over the lab's API server and kubelet."""

from __future__ import annotations

import subprocess

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import KubernetesError
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.client import Cluster
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.exec import open_exec
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.pods import find_pod


def test_exec_carries_output_input_and_exit_code(fresh: Cluster) -> None:
    pod = find_pod(fresh, "rook-ceph", "app=rook-ceph-tools")
    script = "head -c 300000 | cksum; head -c 20000000 /dev/zero; echo words >&2; exit 7"
    with open_exec(
        fresh, "rook-ceph", pod.name, pod.containers[0], ["sh", "-c", script], stdin=True
    ) as stream:
        stream.send(bytes(300_000))
        output: dict[int, bytearray] = {1: bytearray(), 2: bytearray()}
        while (frame := stream.read_frame()) is not None:
            output[frame[0]] += frame[1]
    checksum = subprocess.run(["cksum"], input=bytes(300_000), capture_output=True, check=True).stdout
    assert output == {1: checksum + bytes(20_000_000), 2: b"words\n"}
    assert stream.status is not None
    assert (stream.status.success, stream.status.exit_code) == (False, 7)


def test_exec_of_what_is_not_there(fresh: Cluster) -> None:
    pod = find_pod(fresh, "rook-ceph", "app=rook-ceph-tools")
    with open_exec(fresh, "rook-ceph", pod.name, pod.containers[0], ["/no/such/program"]) as stream:
        while stream.read_frame() is not None:
            pass
    assert stream.status is not None
    assert (stream.status.success, stream.status.exit_code) == (False, None)
    assert "no such file" in stream.status.message
    with pytest.raises(KubernetesError, match="no-such-pod") as caught:
        open_exec(fresh, "rook-ceph", "no-such-pod", "main", ["true"])
    assert caught.value.details["kind"] == "not_found"
    with pytest.raises(KubernetesError, match="pods/exec") as caught:
        open_exec(fresh, "default", "any", "main", ["true"])
    assert caught.value.details["kind"] == "forbidden"
