# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Resolution against the lab's API server, as the ServiceAccount of examples/rbac.yaml: real controllers, real pods."""

from __future__ import annotations

import base64
import json
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
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.resolve import Resolution, resolve
from ansible_collections.rbd_backup.gfs.tests.integration.conftest import Lab
from ansible_collections.rbd_backup.gfs.tests.integration.namespaces import LABEL, Namespace, Object
from ansible_collections.rbd_backup.gfs.tests.integration.processes import eventually

ROOT = pathlib.Path(__file__).resolve().parents[2]
BLOCK = "rook-ceph-block"
UUID = "5f1b4c3e-1d1a-4b5e-9a55-0a58a9feac02"
HANDLE = f"0001-0009-rook-ceph-000000000000002a-{UUID}"
POOL = "not-in-this-ceph"


@pytest.fixture
def namespace(lab: Lab) -> t.Iterator[Namespace]:
    """A namespace for one test."""
    found = Namespace(lab.admin_kubeconfig)
    yield found
    found.clear()


@pytest.fixture
def fresh(lab: Lab) -> Cluster:
    """Kubernetes as the restricted ServiceAccount, with nothing read yet."""
    return connect({"kubeconfig": lab.kubeconfig})


def csi(handle: str, **attributes: str) -> Object:
    return {
        "csi": {
            "driver": "rook-ceph.rbd.csi.ceph.com",
            "volumeHandle": handle,
            "volumeAttributes": {"clusterID": "rook-ceph", "pool": POOL, **attributes},
        }
    }


def flex(**options: str) -> Object:
    return {"flexVolume": {"driver": "ceph.rook.io/rook-ceph", "fsType": "ext4", "options": options}}


# By name of the claim: the source of its persistent volume, the image ({} is the persistent volume's name), the form,
# the pool's id.
FORMS: dict[str, tuple[Object, str, str, int | None]] = {
    "dynamic": (csi(HANDLE, imageName=f"csi-vol-{UUID}"), f"{POOL}/csi-vol-{UUID}", "ceph-csi", 42),
    "tenant": (
        csi(HANDLE, clusterID="tenant", imageName=f"csi-vol-{UUID}", radosNamespace="blue"),
        f"{POOL}/blue/csi-vol-{UUID}",
        "ceph-csi",
        42,
    ),
    "older": (csi(HANDLE, volumeNamePrefix="old-"), f"{POOL}/old-{UUID}", "ceph-csi-handle", 42),
    "static": (csi("by-hand", staticVolume="true"), f"{POOL}/by-hand", "ceph-csi-static", None),
    "migrated": (
        csi(f"mig_mons-0123_image-{UUID}_{POOL.encode().hex()}", migration="true", staticVolume="true"),
        f"{POOL}/kubernetes-dynamic-pvc-{UUID}",
        "ceph-csi-migrated",
        None,
    ),
    "in-tree": (
        {"rbd": {"monitors": ["127.0.0.1:6789"], "image": "in-tree", "pool": POOL}},
        f"{POOL}/in-tree",
        "in-tree",
        None,
    ),
    "flex": (flex(pool=POOL, clusterNamespace="rook-ceph"), f"{POOL}/{{}}", "rook-flex", None),
}


def named(namespace: Namespace, *names: str) -> list[Object]:
    return [{"namespace": namespace.name, "deployments": list(names)}]


def images(result: Resolution) -> dict[str, str]:
    return {item.volume.claim: str(item.volume.spec) for item in result.volumes}


def test_every_form_of_persistent_volume(namespace: Namespace, fresh: Cluster) -> None:
    expected = {}
    for claim, (source, image, form, pool_id) in FORMS.items():
        volume = namespace.claim(claim, BLOCK, source)
        expected[claim] = (image.format(volume), form, pool_id, volume)
    namespace.wait_for_claims(*FORMS)
    namespace.workload("Deployment", "web", claims=list(FORMS))
    namespace.wait_for_pods("web", 1)
    result = resolve(fresh, named(namespace, "web"), [BLOCK])
    assert {
        item.volume.claim: (str(item.volume.spec), item.form, item.pool_id, item.persistent_volume)
        for item in result.volumes
    } == expected
    assert {item.users for item in result.volumes} == {("deployment/web",)}
    assert {item.storage_class for item in result.volumes} == {BLOCK}
    assert (result.skipped, result.problems) == ([], [])
    manifests = result.volumes[0].volume.manifests
    assert manifests["storage_class"]["provisioner"] == "rook-ceph.rbd.csi.ceph.com"
    assert set(manifests["claim"]["metadata"]) == {"name", "namespace"}
    assert manifests["persistent_volume"]["spec"]["claimRef"] == {
        "namespace": namespace.name,
        "name": "dynamic",
    }


def test_a_manifest_creates_its_object_again(namespace: Namespace, fresh: Cluster) -> None:
    namespace.claim("data", BLOCK, FORMS["static"][0])
    namespace.wait_for_claims("data")
    namespace.workload("Deployment", "web", replicas=0, claims=["data"])
    manifests = resolve(fresh, named(namespace, "web"), [BLOCK]).volumes[0].volume.manifests
    namespace.kubectl("delete", "pvc", "data", "--namespace", namespace.name)
    namespace.kubectl("delete", "pv", f"{namespace.name}-data")
    namespace.apply(manifests["persistent_volume"])
    namespace.apply(manifests["claim"])
    namespace.wait_for_claims("data")
    again = resolve(connect_again(fresh), named(namespace, "web"), [BLOCK])
    assert images(again) == {"data": f"{POOL}/by-hand"}


def connect_again(cluster: Cluster) -> Cluster:
    """The same cluster, with nothing read yet: what was read is kept for as long as a Cluster lives."""
    cluster.cache.clear()
    return cluster


def test_a_statefulset_and_what_a_scale_down_leaves(namespace: Namespace, fresh: Cluster) -> None:
    namespace.workload("StatefulSet", "db", replicas=2, templates={"data": BLOCK, "log": "standard-other"})
    claims = ["data-db-0", "data-db-1", "log-db-0", "log-db-1"]
    namespace.wait_for_claims(*claims, phase="Pending")
    for claim in claims[:2]:
        namespace.volume(claim, BLOCK, csi(f"{claim}-image", staticVolume="true"))
    for claim in claims[2:]:
        namespace.volume(claim, "standard-other", {"nfs": {"server": "nfs.example.com", "path": "/"}})
    namespace.wait_for_claims(*claims)
    namespace.claim("data-db-x", BLOCK, FORMS["static"][0])
    for replicas in (2, 0):
        namespace.kubectl("scale", "statefulset/db", "--namespace", namespace.name, f"--replicas={replicas}")
        namespace.wait_for_pods("db", replicas)
        result = resolve(connect_again(fresh), named(namespace, "db"), [BLOCK])
        assert images(result) == {claim: f"{POOL}/{claim}-image" for claim in claims[:2]}
        assert {item.users for item in result.volumes} == {("statefulset/db",)}
        assert {item["claim"]: item["reason"].split(":")[0] for item in result.skipped} == {
            "log-db-0": "not an RBD image",
            "log-db-1": "not an RBD image",
        }
        assert result.problems == []


def test_a_rollout_has_the_claims_of_old_and_new_pods(namespace: Namespace, fresh: Cluster) -> None:
    namespace.claim("old", BLOCK, csi("old-image", staticVolume="true"))
    namespace.claim("new", BLOCK, csi("new-image", staticVolume="true"))
    namespace.wait_for_claims("old", "new")
    namespace.workload("Deployment", "web", claims=["old"])
    namespace.wait_for_pods("web", 1)
    # The new pod never becomes ready, so the old one stays.
    namespace.workload("Deployment", "web", claims=["new"])
    namespace.wait_for_pods("web", 2)
    assert len(namespace.get("replicasets")) == 2
    result = resolve(fresh, named(namespace, "web"), [BLOCK])
    assert images(result) == {"old": f"{POOL}/old-image", "new": f"{POOL}/new-image"}


def test_overlapping_selectors_do_not_leak(namespace: Namespace, fresh: Cluster) -> None:
    for name in ("one", "two"):
        namespace.claim(name, BLOCK, csi(f"{name}-image", staticVolume="true"))
        namespace.workload("Deployment", name, claims=[name], label="same")
    namespace.wait_for_claims("one", "two")
    namespace.wait_for_pods("same", 2)
    result = resolve(fresh, named(namespace, "one"), [BLOCK])
    assert images(result) == {"one": f"{POOL}/one-image"}
    both = resolve(fresh, named(namespace, "one", "two"), [BLOCK])
    assert {item.volume.claim: item.users for item in both.volumes} == {
        "one": ("deployment/one",),
        "two": ("deployment/two",),
    }


def test_what_is_left_out(namespace: Namespace, fresh: Cluster) -> None:
    namespace.claim("pending", BLOCK, None)
    namespace.claim("other-class", "standard-other", csi("x-image", staticVolume="true"))
    namespace.claim("no-class", "", csi("y-image", staticVolume="true"))
    namespace.claim("lost", BLOCK, csi("z-image", staticVolume="true"))
    namespace.wait_for_claims("lost", "other-class", "no-class")
    namespace.kubectl("delete", "pv", f"{namespace.name}-lost", "--wait=false")
    finalizers = {"metadata": {"finalizers": None}}
    namespace.kubectl(
        "patch", "pv", f"{namespace.name}-lost", "--type=merge", "--patch", json.dumps(finalizers)
    )
    namespace.wait_for_claims("lost", phase="Lost")
    volumes: list[Object] = [
        {"name": "tmp", "emptyDir": {}},
        {"name": "node", "hostPath": {"path": "/srv"}},
        {"name": "config", "configMap": {"name": "none", "optional": True}},
    ]
    claims = ["pending", "other-class", "no-class", "lost", "missing"]
    namespace.workload("Deployment", "web", replicas=0, claims=claims, volumes=volumes)
    result = resolve(fresh, named(namespace, "web"), [BLOCK])
    assert (result.volumes, result.problems) == ([], [])
    assert {(item["claim"] or item["volume"], item["warning"]) for item in result.skipped} == {
        ("tmp", False),
        ("node", False),
        ("pending", False),
        ("lost", False),
        ("missing", False),
        ("other-class", True),
        ("no-class", True),
    }
    without_class = resolve(fresh, named(namespace, "web"), [""])
    assert images(without_class) == {"no-class": f"{POOL}/y-image"}


def test_a_claim_that_names_the_volume_of_somebody_else_does_not_get_it(
    namespace: Namespace, fresh: Cluster
) -> None:
    volume = namespace.claim("owner", BLOCK, csi("precious", staticVolume="true"))
    namespace.wait_for_claims("owner")
    metadata = {"name": "thief", "namespace": namespace.name}
    spec = {**namespace.get("pvc")[0]["spec"], "volumeName": volume}
    namespace.apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec})
    namespace.workload("Deployment", "web", replicas=0, claims=["thief"])
    result = resolve(fresh, named(namespace, "web"), [BLOCK])
    assert result.volumes == []
    assert [item["claim"] for item in result.skipped] == ["thief"]


def test_everything_of_a_namespace(namespace: Namespace, fresh: Cluster) -> None:
    for name in ("used", "unused"):
        namespace.claim(name, BLOCK, csi(f"{name}-image", staticVolume="true"))
    namespace.wait_for_claims("used", "unused")
    namespace.workload("Deployment", "web", replicas=0, claims=["used"])
    result = resolve(fresh, [{"namespace": namespace.name, "deployments": "all"}], [BLOCK])
    assert {item.volume.claim: item.users for item in result.volumes} == {
        "unused": (),
        "used": ("deployment/web",),
    }


def test_small_pages_make_no_difference(namespace: Namespace, lab: Lab) -> None:
    claims = [f"data-{number}" for number in range(7)]
    for claim in claims:
        namespace.claim(claim, BLOCK, csi(f"{claim}-image", staticVolume="true"))
    namespace.wait_for_claims(*claims)
    namespace.workload("Deployment", "web", replicas=0, claims=claims)
    # Tests that run beside this one may fill more than one page of the usual size with persistent volumes.
    whole = resolve(
        connect({"kubeconfig": lab.kubeconfig}, page_size=10_000), named(namespace, "web"), [BLOCK]
    )
    paged = resolve(connect({"kubeconfig": lab.kubeconfig}, page_size=2), named(namespace, "web"), [BLOCK])
    assert images(paged) == images(whole) == {claim: f"{POOL}/{claim}-image" for claim in claims}
    # Deployments, StatefulSets, claims, pods; persistent volumes and storage classes.
    assert whole.requests == 6
    # 7 claims in pages of 2 alone cost three more; the cluster's persistent volumes at least as many.
    assert paged.requests >= 6 + 3 + 3


def test_what_is_missing_stops_nothing(namespace: Namespace, fresh: Cluster) -> None:
    namespace.claim("data", BLOCK, FORMS["static"][0])
    namespace.wait_for_claims("data")
    namespace.workload("Deployment", "web", replicas=0, claims=["data"])
    wanted = [
        {"namespace": "test-no-such-namespace", "deployments": ["x"]},
        *named(namespace, "renamed", "web"),
    ]
    result = resolve(fresh, wanted, [BLOCK, "no-such-class"])
    assert images(result) == {"data": f"{POOL}/by-hand"}
    assert [(item["namespace"], item["workload"]) for item in result.problems] == [
        ("test-no-such-namespace", None),
        (namespace.name, "renamed"),
        (None, None),
    ]
    words = [item["message"] for item in result.problems]
    assert "does not exist" in words[0]
    assert "deployment/web" in words[1]
    assert "no-such-class" in words[2]


def rules_of(kind: str) -> list[Object]:
    """The rules of examples/rbac.yaml in its only object of *kind*, one for each verb."""
    return [
        rule | {"resources": [resource], "verbs": [verb]}
        for item in yaml.safe_load_all((ROOT / "examples/rbac.yaml").read_text())
        if item["kind"] == kind
        for rule in item["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]


RULES = rules_of("ClusterRole")
EXEC_RULES = rules_of("Role")
# so marked in the manifest: the tests' API server does not ask for it
NEWER_SERVERS_ONLY = ("create pods/exec",)


def name_of(rule: Object) -> str:
    return f"{rule['verbs'][0]} {rule['resources'][0]}"


def account(namespace: Namespace, cluster: Cluster, rules: list[Object]) -> dict[str, t.Any]:
    """Make a ServiceAccount with *rules*; return the options that authenticate as it."""
    metadata = {"name": namespace.name, "labels": {LABEL: namespace.name}}
    rbac = {"apiVersion": "rbac.authorization.k8s.io/v1"}
    subject = {"kind": "ServiceAccount", "name": "probe", "namespace": namespace.name}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": namespace.name}
    namespace.apply(
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "probe", "namespace": namespace.name},
        },
        {**rbac, "kind": "ClusterRole", "metadata": metadata, "rules": rules},
        {
            **rbac,
            "kind": "ClusterRoleBinding",
            "metadata": metadata,
            "roleRef": reference,
            "subjects": [subject],
        },
    )
    path = f"/api/v1/namespaces/{namespace.name}/serviceaccounts/probe/token"
    request = json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}})
    token = json.loads(namespace.kubectl("create", "--raw", path, "-f", "-", stdin=request))["status"][
        "token"
    ]
    return {"host": cluster.host, "api_key": token, "validate_certs": False}


def answers(client: RbdClient) -> bool:
    try:
        return bool(client.fsid())
    except CephError:
        return False


@pytest.mark.parametrize("rule", [None, *EXEC_RULES], ids=lambda rule: name_of(rule) if rule else "all rules")
def test_every_rule_for_running_rbd_in_a_pod_is_needed(
    lab: Lab, namespace: Namespace, fresh: Cluster, rule: Object | None
) -> None:
    options = account(namespace, fresh, [other for other in EXEC_RULES if other is not rule])
    client = open_ceph(lab.ceph_options("toolbox"), lambda: connect(options))
    if rule is None or name_of(rule) in NEWER_SERVERS_ONLY:
        eventually(lambda: answers(client))  # the API server hears of new rules with some delay
    else:
        with pytest.raises(CephError, match=r"\(403\)"):
            client.fsid()


@pytest.mark.parametrize("rule", [None, *RULES], ids=lambda rule: name_of(rule) if rule else "all rules")
def test_every_rule_of_the_account_is_needed(
    namespace: Namespace, fresh: Cluster, rule: Object | None
) -> None:
    namespace.claim("data", BLOCK, FORMS["static"][0])
    namespace.wait_for_claims("data")
    namespace.workload("Deployment", "web", claims=["data"])
    namespace.wait_for_pods("web", 1)
    options = account(namespace, fresh, [other for other in RULES if other is not rule])
    if rule is None:
        eventually(lambda: not resolve(connect(options), named(namespace, "web"), [BLOCK]).problems)
    elif rule["resources"] == ["namespaces"]:
        nothing = resolve(
            connect(options), [{"namespace": "test-none", "deployments": "all"}], [BLOCK]
        ).problems
        assert "or it does not exist" in nothing[0]["message"]
    else:
        refused = f"/{rule['resources'][0]} (403)"

        def first_problem() -> str:
            problems = resolve(connect(options), named(namespace, "web"), [BLOCK]).problems
            return problems[0]["message"] if problems else ""

        eventually(lambda: refused in first_problem())


def test_each_way_to_authenticate(
    namespace: Namespace, fresh: Cluster, lab: Lab, tmp_path: pathlib.Path
) -> None:
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
    token = account(namespace, fresh, RULES)["api_key"]
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
        found = connect(way).get(f"/api/v1/namespaces/{namespace.name}/pods")
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
