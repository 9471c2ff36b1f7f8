# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may ask the lab's API server: each way to authenticate, and each rule of examples/rbac.yaml, which is needed."""

from __future__ import annotations

import base64
import pathlib
import ssl
import subprocess
import typing as t

import pytest
import yaml

from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.access import open_ceph
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.rbd import RbdClient
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import CephError, KubernetesError
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.client import Cluster, connect
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.exec import open_exec
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.pods import find_pod
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.resolve import resolve
from ansible_collections.rbd_backup.gfs.tests.integration.accounts import Probe, rules_of
from ansible_collections.rbd_backup.gfs.tests.integration.conftest import Lab
from ansible_collections.rbd_backup.gfs.tests.integration.namespaces import Namespace, Object
from ansible_collections.rbd_backup.gfs.tests.integration.processes import eventually
from ansible_collections.rbd_backup.gfs.tests.integration.sources import (
    BLOCK,
    static,
)

ROOT = pathlib.Path(__file__).resolve().parents[2]


RULES = rules_of("rbac.yaml", "ClusterRole")
EXEC_RULES = rules_of("rbac.yaml", "Role")
# so marked in the manifest: the tests' API server does not ask for it
NEWER_SERVERS_ONLY = ("create pods/exec",)


def name_of(rule: Object) -> str:
    return f"{rule['verbs'][0]} {rule['resources'][0]}"


def problems_of(probe: Probe, **wanted: t.Any) -> list[str]:
    """What resolution cannot do as this account."""
    entry = {"namespace": probe.namespace, "deployments": ["web"], **wanted}
    return [item["message"] for item in resolve(probe.connect(), [entry], [BLOCK]).problems]


@pytest.fixture(scope="module")
def inhabited(lab: Lab) -> t.Iterator[Namespace]:
    """A namespace with a Deployment, its pod and a claim."""
    found = Namespace(lab.admin_kubeconfig)
    found.claim("data", BLOCK, static("by-hand"))
    found.wait_for_claims("data")
    found.workload("Deployment", "web", claims=["data"])
    found.wait_for_pods("web", 1)
    yield found
    found.clear()


@pytest.fixture(scope="module")
def probe(inhabited: Namespace, cluster: Cluster) -> Probe:
    """An account for that namespace, which may do nothing yet."""
    return Probe(inhabited, cluster.host)


def error_of(client: RbdClient) -> str:
    try:
        client.fsid()
    except CephError as error:
        return error.message
    return ""


@pytest.mark.parametrize("rule", EXEC_RULES, ids=name_of)
def test_every_rule_for_running_rbd_in_a_pod_is_needed(lab: Lab, probe: Probe, rule: Object) -> None:
    def error() -> str:
        return error_of(open_ceph(lab.ceph_options("toolbox"), probe.connect))

    probe.allow(EXEC_RULES)
    eventually(lambda: not error())
    probe.allow([other for other in EXEC_RULES if other is not rule])
    if name_of(rule) in NEWER_SERVERS_ONLY:
        assert not error()
    else:
        eventually(lambda: "(403)" in error())


@pytest.mark.parametrize("rule", RULES, ids=name_of)
def test_every_rule_of_the_account_is_needed(probe: Probe, rule: Object) -> None:
    def problems() -> list[str]:
        return problems_of(probe) + problems_of(probe, namespace="test-none", deployments="all")

    probe.allow(RULES)
    eventually(lambda: problems() == ["The namespace test-none does not exist."])
    probe.allow([other for other in RULES if other is not rule])
    (resource,) = rule["resources"]
    refused = "or it does not exist" if resource == "namespaces" else f"/{resource} (403)"
    eventually(lambda: refused in problems()[0])


def test_each_way_to_authenticate(
    inhabited: Namespace, probe: Probe, fresh: Cluster, lab: Lab, tmp_path: pathlib.Path
) -> None:
    probe.allow(RULES)
    eventually(lambda: not problems_of(probe))
    config = yaml.safe_load(pathlib.Path(lab.admin_kubeconfig).read_text())
    server = config["clusters"][0]["cluster"]
    user = config["users"][0]["user"]

    def file(section: Object, key: str) -> str:
        if key in section:
            return str(section[key])
        path = tmp_path / key
        path.write_bytes(base64.b64decode(section[f"{key}-data"]))
        return str(path)

    authority = file(server, "certificate-authority")
    token = probe.token
    certificates = {"client_cert": file(user, "client-certificate"), "client_key": file(user, "client-key")}
    restricted = yaml.safe_load(pathlib.Path(lab.kubeconfig).read_text())
    ways: list[Object] = [
        {"kubeconfig": lab.kubeconfig},
        {"kubeconfig": lab.kubeconfig, "context": restricted["current-context"]},
        {"kubeconfig": restricted},
        {"host": fresh.host, "api_key": token, "ca_cert": authority},
        {"host": fresh.host, "api_key": token, "validate_certs": False},
        {"host": fresh.host, "ca_cert": authority, "kubeconfig": lab.admin_kubeconfig, **certificates},
    ]
    for way in ways:
        found = connect(way).get(f"/api/v1/namespaces/{inhabited.name}/pods")
        assert found["kind"] == "PodList", way


def test_impersonation_acts_as_somebody_else(fresh: Cluster, lab: Lab) -> None:
    account = "system:serviceaccount:rook-ceph:rbd-backup"
    somebody = connect({"kubeconfig": lab.admin_kubeconfig, "impersonate_user": account})
    assert somebody.get("/api/v1/persistentvolumes")["kind"] == "PersistentVolumeList"
    with pytest.raises(KubernetesError, match=f'User "{account}" cannot list resource "secrets"'):
        somebody.get("/api/v1/secrets")
    member = connect(
        {
            "kubeconfig": lab.admin_kubeconfig,
            "impersonate_user": "nobody",
            "impersonate_groups": ["unknown", "system:masters"],
        }
    )
    assert member.get("/api/v1/namespaces/default")["kind"] == "Namespace"
    pod = find_pod(fresh, "rook-ceph", "app=rook-ceph-tools")
    nobody = connect({"kubeconfig": lab.admin_kubeconfig, "impersonate_user": "nobody"})
    with pytest.raises(KubernetesError, match="pods/exec"):
        open_exec(nobody, "rook-ceph", pod.name, pod.containers[0], ["true"])
    with pytest.raises(KubernetesError, match="impersonate"):
        connect({"kubeconfig": lab.kubeconfig, "impersonate_user": "nobody"}).get("/api/v1/pods")


def test_wrong_credentials_and_certificates_are_told_apart(fresh: Cluster, tmp_path: pathlib.Path) -> None:
    path = "/api/v1/persistentvolumes"
    with pytest.raises(KubernetesError, match=r"does not accept the credentials \(401") as caught:
        connect({"host": fresh.host, "api_key": "wrong-but-secret", "validate_certs": False}).get(path)
    assert caught.value.details["kind"] == "unauthorized"
    assert "wrong-but-secret" not in caught.value.message
    # An authority that is one, but not that of this server.
    authority = tmp_path / "other.crt"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=other",
        "-out",
        str(authority),
    ]
    subprocess.run([*command, "-keyout", str(tmp_path / "other.key")], check=True, capture_output=True)
    assert ssl.create_default_context(cafile=str(authority))
    cluster = connect({"host": fresh.host, "api_key": "x", "ca_cert": str(authority)})
    with pytest.raises(KubernetesError) as caught:
        cluster.get(path)
    assert caught.value.details["kind"] == "tls"
    with pytest.raises(KubernetesError, match="gave no stream"):
        open_exec(cluster, "rook-ceph", "tools", "tools", ["true"])
