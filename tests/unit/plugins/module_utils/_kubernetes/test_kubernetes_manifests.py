# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifests that a volume is restored from."""

from __future__ import annotations

from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._kubernetes.recorded import (
    CLASS,
    Recorded,
    mounting,
    named,
)


def test_manifests_hold_what_a_bare_restore_needs(recorded: Recorded) -> None:
    recorded.deployment("web", mounting("data"))
    claim = recorded.claim("data")
    claim["metadata"].update(
        resourceVersion="7",
        managedFields=[{}],
        finalizers=["kubernetes.io/pvc-protection"],
        ownerReferences=[{"kind": "Shop", "name": "x", "uid": "x"}],
        labels={"app": "web"},
        annotations={
            "kubectl.kubernetes.io/last-applied-configuration": "{}",
            "pv.kubernetes.io/bind-completed": "yes",
            "volume.kubernetes.io/selected-node": "n1",
            "team": "shop",
        },
    )
    volume = recorded.objects["/api/v1/persistentvolumes"][0]
    volume["metadata"]["annotations"] = {"pv.kubernetes.io/provisioned-by": "rbd.csi.ceph.com"}
    volume["spec"]["claimRef"]["resourceVersion"] = "6"
    volume["status"] = {"phase": "Bound"}
    manifests = recorded.resolve(named("web")).volumes[0].volume.manifests
    assert manifests["claim"] == {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": "data",
            "namespace": "shop",
            "labels": {"app": "web"},
            "annotations": {"team": "shop"},
        },
        "spec": {"storageClassName": CLASS, "volumeName": "pv-shop-data"},
    }
    assert manifests["persistent_volume"]["metadata"] == {
        "name": "pv-shop-data",
        "annotations": {"pv.kubernetes.io/provisioned-by": "rbd.csi.ceph.com"},
    }
    assert manifests["persistent_volume"]["spec"]["claimRef"] == {"namespace": "shop", "name": "data"}
    assert "status" not in manifests["persistent_volume"]
    assert manifests["storage_class"] == {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": CLASS},
        "provisioner": "x",
    }
