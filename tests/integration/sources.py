# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sources of persistent volumes as ceph-csi, Rook and Kubernetes write them, and what resolution makes of them."""

from __future__ import annotations

from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.resolve import Resolution
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec
from ansible_collections.rbd_backup.gfs.tests.integration.namespaces import Namespace, Object

BLOCK = "rook-ceph-block"
POOL = "not-in-this-ceph"


def csi(handle: str, **attributes: str) -> Object:
    """A volume of Rook's ceph-csi, in a pool that the lab's Ceph does not have unless told otherwise."""
    return {
        "csi": {
            "driver": "rook-ceph.rbd.csi.ceph.com",
            "volumeHandle": handle,
            "volumeAttributes": {"clusterID": "rook-ceph", "pool": POOL, **attributes},
        }
    }


def static(image: str, **attributes: str) -> Object:
    """A static volume of ceph-csi for an image of that name."""
    return csi(image, **{"staticVolume": "true", **attributes})


def static_of(spec: ImageSpec, **attributes: str) -> Object:
    """A static volume of ceph-csi for an image of the lab's Ceph."""
    return static(spec.image, **{"clusterID": "lab", "pool": spec.pool, **attributes})


def flex(**options: str) -> Object:
    """A flexVolume of Rook."""
    return {"flexVolume": {"driver": "ceph.rook.io/rook-ceph", "fsType": "ext4", "options": options}}


def named(namespace: Namespace, *names: str) -> list[Object]:
    """What the inventory says of workloads of a namespace."""
    return [{"namespace": namespace.name, "deployments": list(names)}]


def images_of(result: Resolution) -> dict[str, str]:
    """The images that were found, by claim."""
    return {item.volume.claim: str(item.volume.spec) for item in result.volumes}
