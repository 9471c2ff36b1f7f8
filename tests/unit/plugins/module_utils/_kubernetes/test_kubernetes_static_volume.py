# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Static persistent volumes for restored images: what they hold, and what is refused."""

from __future__ import annotations

import copy
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import InvalidInput
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.static_volume import (
    Wanted,
    has_key,
    is_encrypted,
    static_volume,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec

HANDLE = "0001-0009-rook-ceph-0000000000000001-5f1b4c3e-1d1a-4b5e-9a55-0a58a9feac02"
IMAGE = ImageSpec("replicapool", "tenant", "restored")
DESCRIPTION: dict[str, t.Any] = {
    "volume": {
        "namespace": "shop",
        "claim": "data",
        "pool": "replicapool",
        "rados_namespace": "tenant",
        "image": "csi-vol-1",
    },
    "image": {"features": ["layering", "exclusive-lock", "operations"], "metadata": {}},
    "manifests": {
        "claim": {
            "metadata": {"name": "data", "namespace": "shop", "labels": {"app": "db"}},
            "spec": {"storageClassName": "fast"},
        },
        "persistent_volume": {
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "volumeMode": "Block",
                "mountOptions": ["discard"],
                "csi": {
                    "driver": "rook-ceph.rbd.csi.ceph.com",
                    "volumeHandle": HANDLE,
                    "fsType": "ext4",
                    "nodeStageSecretRef": {"name": "node", "namespace": "rook-ceph"},
                    "volumeAttributes": {
                        "clusterID": "abc",
                        "imageName": "csi-vol-1",
                        "journalPool": "replicapool",
                        "mounter": "rbd-nbd",
                        "storage.kubernetes.io/csiProvisionerIdentity": "1-rook",
                    },
                },
            }
        },
        "storage_class": {"parameters": {}, "provisioner": "rook-ceph.rbd.csi.ceph.com"},
    },
}


@pytest.fixture
def description() -> dict[str, t.Any]:
    return copy.deepcopy(DESCRIPTION)


def attributes(description: dict[str, t.Any]) -> dict[str, t.Any]:
    found: dict[str, t.Any] = description["manifests"]["persistent_volume"]["spec"]["csi"]["volumeAttributes"]
    return found


def test_it_is_what_ceph_csi_takes_for_static(description: dict[str, t.Any]) -> None:
    volume, claim = static_volume(description, IMAGE, 4096, Wanted())
    spec = volume["spec"]
    assert spec["csi"] == {
        "driver": "rook-ceph.rbd.csi.ceph.com",
        "volumeHandle": "restored",
        "fsType": "ext4",
        "nodeStageSecretRef": {"name": "node", "namespace": "rook-ceph"},
        "volumeAttributes": {
            "clusterID": "abc",
            "imageFeatures": "layering,exclusive-lock",
            "mounter": "rbd-nbd",
            "pool": "replicapool",
            "radosNamespace": "tenant",
            "staticVolume": "true",
        },
    }
    assert spec["persistentVolumeReclaimPolicy"] == "Retain"
    assert spec["capacity"] == {"storage": "4096"}
    assert spec["mountOptions"] == ["discard"]
    assert (spec["claimRef"]["namespace"], spec["claimRef"]["name"]) == ("shop", "data")
    assert claim["spec"]["volumeName"] == volume["metadata"]["name"] == "restored"
    assert claim["spec"]["storageClassName"] == spec["storageClassName"] == "fast"
    assert claim["spec"]["accessModes"] == spec["accessModes"] == ["ReadWriteMany"]
    assert claim["metadata"]["labels"] == {"app": "db"}


def test_elsewhere_it_carries_no_mark_of_the_original(description: dict[str, t.Any]) -> None:
    wanted = Wanted(namespace="new", claim="other", persistent_volume="pv-1", storage_class="")
    volume, claim = static_volume(description, IMAGE, 4096, wanted)
    assert claim["metadata"] == {"name": "other", "namespace": "new"}
    assert volume["metadata"]["name"] == "pv-1"
    assert claim["spec"]["storageClassName"] == ""


def test_the_storage_class_fills_in_what_the_volume_lacks(description: dict[str, t.Any]) -> None:
    csi = description["manifests"]["persistent_volume"]["spec"]["csi"]
    del csi["nodeStageSecretRef"], csi["volumeAttributes"]["clusterID"]
    with pytest.raises(InvalidInput, match="cluster id of ceph-csi is not on record"):
        static_volume(description, IMAGE, 4096, Wanted())
    with pytest.raises(InvalidInput, match="node stage secret"):
        static_volume(description, IMAGE, 4096, Wanted(cluster_id="abc"))
    description["manifests"]["storage_class"]["parameters"] = {
        "clusterID": "xyz",
        "csi.storage.k8s.io/node-stage-secret-name": "s",
        "csi.storage.k8s.io/node-stage-secret-namespace": "n",
    }
    volume, _claim = static_volume(description, IMAGE, 4096, Wanted())
    assert volume["spec"]["csi"]["nodeStageSecretRef"] == {"name": "s", "namespace": "n"}
    assert volume["spec"]["csi"]["volumeAttributes"]["clusterID"] == "xyz"


def test_another_rados_namespace_needs_another_cluster_id(description: dict[str, t.Any]) -> None:
    with pytest.raises(InvalidInput, match=r"another RADOS namespace .* give manifests.cluster_id"):
        static_volume(description, ImageSpec("replicapool", "", "restored"), 4096, Wanted())


def test_without_manifests_on_record_or_a_name_that_can_be_it_says_so(description: dict[str, t.Any]) -> None:
    with pytest.raises(InvalidInput, match="cannot be the name of a persistent volume"):
        static_volume(description, ImageSpec("replicapool", "tenant", "Restored_1"), 4096, Wanted())
    description["manifests"] = {}
    with pytest.raises(InvalidInput, match="no manifests of the claim"):
        static_volume(description, IMAGE, 4096, Wanted())


@pytest.mark.parametrize("key", [None, "rbd.csi.ceph.com/dek", ".rbd.csi.ceph.com/dek"])
def test_an_encrypted_volume_is_refused_with_what_is_missing(
    description: dict[str, t.Any], key: str | None
) -> None:
    assert not is_encrypted(description)
    attributes(description)["encrypted"] = "true"
    if key:
        description["image"]["metadata"][key] = "wrapped"
    assert is_encrypted(description)
    assert has_key(description) is bool(key)
    with pytest.raises(InvalidInput) as caught:
        static_volume(description, IMAGE, 4096, Wanted())
    assert HANDLE in caught.value.message
    assert ("in the KMS alone" in caught.value.message) is not bool(key)
    # a volume that was static itself keeps its handle under its own name
    description["manifests"]["persistent_volume"]["spec"]["csi"]["volumeHandle"] = "restored"
    volume, _claim = static_volume(description, IMAGE, 4096, Wanted())
    assert volume["spec"]["csi"]["volumeAttributes"]["encrypted"] == "true"
