# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Resolution against the lab's API server, as the ServiceAccount of examples/rbac.yaml: from claims to images."""

from __future__ import annotations

import json

from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.client import Cluster, connect
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.resolve import resolve
from ansible_collections.rbd_backup.gfs.tests.integration.conftest import Lab
from ansible_collections.rbd_backup.gfs.tests.integration.namespaces import Namespace, Object
from ansible_collections.rbd_backup.gfs.tests.integration.sources import (
    BLOCK,
    POOL,
    csi,
    flex,
    images_of,
    named,
    static,
)

UUID = "5f1b4c3e-1d1a-4b5e-9a55-0a58a9feac02"
HANDLE = f"0001-0009-rook-ceph-000000000000002a-{UUID}"

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
    "static": (static("by-hand"), f"{POOL}/by-hand", "ceph-csi-static", None),
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
    namespace.claim("data", BLOCK, static("by-hand"))
    namespace.wait_for_claims("data")
    namespace.workload("Deployment", "web", replicas=0, claims=["data"])
    manifests = resolve(fresh, named(namespace, "web"), [BLOCK]).volumes[0].volume.manifests
    namespace.kubectl("delete", "pvc", "data", "--namespace", namespace.name)
    namespace.kubectl("delete", "pv", f"{namespace.name}-data")
    namespace.apply(manifests["persistent_volume"])
    namespace.apply(manifests["claim"])
    namespace.wait_for_claims("data")
    fresh.cache.clear()  # what was read is kept for as long as a Cluster lives
    again = resolve(fresh, named(namespace, "web"), [BLOCK])
    assert images_of(again) == {"data": f"{POOL}/by-hand"}


def test_what_is_left_out(namespace: Namespace, fresh: Cluster) -> None:
    namespace.claim("pending", BLOCK, None)
    namespace.claim("other-class", "standard-other", static("x-image"))
    namespace.claim("no-class", "", static("y-image"))
    namespace.claim("lost", BLOCK, static("z-image"))
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
        ("lost", True),
        ("missing", False),
        ("other-class", True),
        ("no-class", True),
    }
    without_class = resolve(fresh, named(namespace, "web"), [""])
    assert images_of(without_class) == {"no-class": f"{POOL}/y-image"}


def test_a_claim_that_names_the_volume_of_somebody_else_does_not_get_it(
    namespace: Namespace, fresh: Cluster
) -> None:
    volume = namespace.claim("owner", BLOCK, static("precious"))
    namespace.wait_for_claims("owner")
    metadata = {"name": "thief", "namespace": namespace.name}
    spec = {**namespace.get("pvc")[0]["spec"], "volumeName": volume}
    namespace.apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec})
    namespace.workload("Deployment", "web", replicas=0, claims=["thief"])
    result = resolve(fresh, named(namespace, "web"), [BLOCK])
    assert result.volumes == []
    assert [item["claim"] for item in result.skipped] == ["thief"]


def test_small_pages_make_no_difference(namespace: Namespace, lab: Lab) -> None:
    claims = [f"data-{number}" for number in range(7)]
    for claim in claims:
        namespace.claim(claim, BLOCK, static(f"{claim}-image"))
    namespace.wait_for_claims(*claims)
    namespace.workload("Deployment", "web", replicas=0, claims=claims)
    # Tests that run beside this one may fill more than one page of the usual size with persistent volumes.
    whole = resolve(
        connect({"kubeconfig": lab.kubeconfig}, page_size=10_000), named(namespace, "web"), [BLOCK]
    )
    paged = resolve(connect({"kubeconfig": lab.kubeconfig}, page_size=2), named(namespace, "web"), [BLOCK])
    assert images_of(paged) == images_of(whole) == {claim: f"{POOL}/{claim}-image" for claim in claims}
    # Deployments, StatefulSets, claims, pods; persistent volumes and storage classes.
    assert whole.requests == 6
    # 7 claims in pages of 2 alone cost three more; the cluster's persistent volumes at least as many.
    assert paged.requests >= 6 + 3 + 3


def test_what_is_missing_stops_nothing(namespace: Namespace, fresh: Cluster) -> None:
    namespace.claim("data", BLOCK, static("by-hand"))
    namespace.wait_for_claims("data")
    namespace.workload("Deployment", "web", replicas=0, claims=["data"])
    wanted = [
        {"namespace": "test-no-such-namespace", "deployments": ["x"]},
        *named(namespace, "renamed", "web"),
    ]
    result = resolve(fresh, wanted, [BLOCK, "no-such-class"])
    assert images_of(result) == {"data": f"{POOL}/by-hand"}
    assert [(item["namespace"], item["workload"]) for item in result.problems] == [
        ("test-no-such-namespace", None),
        (namespace.name, "renamed"),
        (None, None),
    ]
    words = [item["message"] for item in result.problems]
    assert "does not exist" in words[0]
    assert "deployment/web" in words[1]
    assert "no-such-class" in words[2]
