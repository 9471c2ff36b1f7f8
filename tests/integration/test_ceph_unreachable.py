# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The RBD client when Ceph or the pod cannot be reached or used: an error in bounded time that says what to do."""

from __future__ import annotations

import json
import os
import pathlib
import socket
import subprocess
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph import pod
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.access import open_ceph
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.pod import PodRunner
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.rbd import RbdClient
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import CephError, NotFound
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.client import Cluster
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec
from ansible_collections.rbd_backup.gfs.tests.integration import history
from ansible_collections.rbd_backup.gfs.tests.integration.conftest import Lab, modules_in
from ansible_collections.rbd_backup.gfs.tests.integration.history import name
from ansible_collections.rbd_backup.gfs.tests.integration.images import Images
from ansible_collections.rbd_backup.gfs.tests.integration.processes import about, eventually


@pytest.fixture
def mute_monitor() -> t.Iterator[str]:
    """The address of a monitor that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield f"v2:127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def bare_pods(lab: Lab) -> t.Iterator[t.Callable[..., str]]:
    """Makes a pod in a namespace, of an image that holds nothing but its own program, and waits until it runs and is
    *ready*, or never will be; returns a selector for it."""
    made: list[tuple[str, str]] = []

    def kubectl(namespace: str, *words: str, stdin: str | None = None) -> str:
        command = ["kubectl", "--kubeconfig", lab.admin_kubeconfig, "--namespace", namespace, *words]
        return subprocess.run(command, input=stdin, check=True, text=True, stdout=subprocess.PIPE).stdout

    def make(namespace: str, ready: bool = True) -> str:
        pod_name = f"test-bare-{os.getpid()}-{len(made)}"
        container: dict[str, t.Any] = {
            "name": "bare",
            "image": "docker.io/rbd-lab/pause:1",
            "imagePullPolicy": "Never",
        }
        if not ready:
            container["readinessProbe"] = {"tcpSocket": {"port": 1}}
        spec = {
            "containers": [container],
            "hostNetwork": True,
            "terminationGracePeriodSeconds": 0,
            "tolerations": [{"operator": "Exists"}],
        }
        metadata = {"name": pod_name, "labels": {"app": pod_name}}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
        made.append((namespace, pod_name))
        kubectl(namespace, "apply", "-f", "-", stdin=json.dumps(pod))
        if ready:
            kubectl(namespace, "wait", "--for=condition=Ready", f"pod/{pod_name}", "--timeout=120s")
        else:
            phase = ("get", "pod", pod_name, "--output", "jsonpath={.status.phase}")
            eventually(lambda: kubectl(namespace, *phase) == "Running", seconds=120)
        return f"app={pod_name}"

    yield make
    for namespace, pod_name in made:
        kubectl(namespace, "delete", "pod", pod_name, "--wait=false", "--ignore-not-found")


QUESTIONS: dict[str, t.Callable[[RbdClient, ImageSpec], object]] = {
    "info": lambda client, spec: client.info(spec),
    "fsid": lambda client, spec: client.fsid(),
    "export": lambda client, spec: client.export_diff(spec, "s", None).read(),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_monitor_that_does_not_answer(
    way: str, lab: Lab, cluster: Cluster, mute_monitor: str, question: str
) -> None:
    options = lab.ceph_options(way, command_timeout=8, extra_args=[f"--mon-host={mute_monitor}"])
    client = open_ceph(options, lambda: cluster)
    with pytest.raises(CephError, match=r"couldn't connect|timed out|did not end within 8 s") as caught:
        QUESTIONS[question](client, ImageSpec(lab.pool, "", "whatever"))
    assert not isinstance(caught.value, NotFound)


def test_a_run_without_a_monitor_ends_in_time_and_touches_nothing(
    way: str, lab: Lab, images: Images, tmp_path: pathlib.Path, mute_monitor: str
) -> None:
    spec = images.create()
    images.rbd(spec, "snap", "create", "--snap", name(0), "--no-progress")
    access = {"command_timeout": 8, "extra_args": [f"--mon-host={mute_monitor}"]}
    modules = modules_in(lab, tmp_path, way, **access)
    for step in (modules.backup, modules.snapshot):
        result = step([spec])
        assert result["failed"]
        assert "onitors reachable" in result["msg"]
    assert not modules.set_path.exists()
    assert history.snapshots(images, spec) == [name(0)]
    modules.ceph["extra_args"] = []
    assert [item["snapshot"] for item in modules.backup([spec])["archives"]] == [name(0)]


def test_rbd_that_waits_for_ever_is_ended(way: str, lab: Lab, cluster: Cluster, mute_monitor: str) -> None:
    patient = [f"--mon-host={mute_monitor}", "--client-mount-timeout=600"]
    client = open_ceph(lab.ceph_options(way, command_timeout=8, extra_args=patient), lambda: cluster)
    with pytest.raises(
        CephError, match="did not end within 8 s and was ended; whether it took effect is unknown"
    ):
        client.create_snapshot(ImageSpec(lab.pool, "", "whatever"), "s")
    eventually(lambda: not about(mute_monitor))


def test_a_keyring_that_is_missing_is_not_an_image_that_is_missing(
    way: str, lab: Lab, cluster: Cluster
) -> None:
    client = open_ceph(lab.ceph_options(way, keyring="/nonexistent"), lambda: cluster)
    with pytest.raises(CephError, match="unable to find a keyring") as caught:
        client.info(ImageSpec(lab.pool, "", "whatever"))
    assert not isinstance(caught.value, NotFound)


def test_a_pool_that_the_user_may_not_use(lab: Lab, local_rbd: RbdClient) -> None:
    with pytest.raises(CephError, match="not permitted") as caught:
        local_rbd.info(ImageSpec("device_health_metrics", "", "whatever"))
    assert not isinstance(caught.value, NotFound)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"selector": "app=nobody"}, "app=nobody is running and ready"),
        ({"container": "sidecar"}, "no container sidecar; it has: rook-ceph-tools"),
    ],
)
def test_a_pod_that_cannot_be_used(lab: Lab, cluster: Cluster, changes: dict[str, str], says: str) -> None:
    client = open_ceph(lab.ceph_options("toolbox", **changes), lambda: cluster)
    with pytest.raises(CephError, match=says) as caught:
        client.snapshots(ImageSpec(lab.pool, "", "whatever"))
    assert caught.value.message.startswith(f"Listing the snapshots of {lab.pool}/whatever failed (a pod of ")


def test_a_pod_without_the_program(cluster: Cluster) -> None:
    runner = PodRunner(lambda: cluster, "rook-ceph", "app=rook-ceph-tools")
    with pytest.raises(CephError, match="no-such-program could not be started in the pod"):
        runner.run(["no-such-program"], 60)


def test_a_pod_in_which_nothing_may_be_run(
    lab: Lab, cluster: Cluster, bare_pods: t.Callable[..., str]
) -> None:
    options = lab.ceph_options("toolbox", namespace="default", selector=bare_pods("default"))
    with pytest.raises(CephError, match=r"\(403\).* the verb list on pods, and get and create on pods/exec"):
        open_ceph(options, lambda: cluster).fsid()


def test_a_pod_that_runs_and_is_not_ready(
    lab: Lab, cluster: Cluster, bare_pods: t.Callable[..., str]
) -> None:
    client = open_ceph(
        lab.ceph_options("toolbox", selector=bare_pods("rook-ceph", ready=False)), lambda: cluster
    )
    with pytest.raises(CephError, match=r"is running and ready; there is: test-bare-\S+ \(not ready\)\."):
        client.fsid()


def test_a_pod_without_python(lab: Lab, cluster: Cluster, bare_pods: t.Callable[..., str]) -> None:
    client = open_ceph(lab.ceph_options("toolbox", selector=bare_pods("rook-ceph")), lambda: cluster)
    with pytest.raises(CephError, match="The container has no python3"):
        client.fsid()


def test_a_pod_that_was_replaced_is_found_again(
    lab: Lab, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = open_ceph(lab.ceph_options("toolbox"), lambda: cluster)
    with monkeypatch.context() as patch:
        found = pod.find_pod(cluster, "rook-ceph", "app=rook-ceph-tools")
        gone = type(found)(name="rook-ceph-tools-gone", containers=found.containers, uid="gone")
        patch.setattr(pod, "find_pod", lambda *args: gone)
        with pytest.raises(CephError, match=r"rook-ceph-tools-gone.* \(404\)"):
            client.fsid()
    assert client.fsid()
