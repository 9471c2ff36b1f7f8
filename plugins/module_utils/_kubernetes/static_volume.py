# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A static persistent volume and its claim for an image that a restore has made. Pure.

ceph-csi, docs/static-pvc.md: the volume handle is the image's name, and the cluster id stands for monitors and RADOS
namespace.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import InvalidInput
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec

Object = dict[str, t.Any]

_DRIVER = "rbd.csi.ceph.com"
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_CSI_FEATURES = ("layering", "exclusive-lock", "object-map", "fast-diff", "deep-flatten", "journaling")
# What of a volume's attributes says how it is used; the rest says where it is, or belongs to the journal of ceph-csi.
_KEPT_ATTRIBUTES = (
    "mounter",
    "mapOptions",
    "unmapOptions",
    "mkfsOptions",
    "tryOtherMounters",
    "cephLogDir",
    "encrypted",
    "encryptionKMSID",
    "encryptionType",
)
_TRUE = ("1", "t", "T", "TRUE", "true", "True")


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What the restored claim is to be called. None: as before; *persistent_volume* None: as the image."""

    namespace: str | None = None
    claim: str | None = None
    persistent_volume: str | None = None
    storage_class: str | None = None
    cluster_id: str | None = None


def static_volume(
    description: t.Mapping[str, t.Any], image: ImageSpec, size: int, wanted: Wanted
) -> tuple[Object, Object]:
    """Return PersistentVolume and PersistentVolumeClaim for *image* of *size* bytes.

    *description* is that of the volume's directory. Raises InvalidInput that says what is missing.
    """
    manifests = description["manifests"]
    old_volume = (manifests.get("persistent_volume") or {}).get("spec") or {}
    old_claim = manifests.get("claim") or {}
    if not old_volume or not old_claim:
        raise _refusal(
            description,
            "volume.json holds no manifests of the claim and its persistent volume; they are recorded when "
            "volumes come from k8s_rbd_resolve",
        )
    _refuse_encrypted(description, old_volume, image)
    namespace = wanted.namespace or description["volume"]["namespace"]
    claim = wanted.claim or description["volume"]["claim"]
    name = wanted.persistent_volume or image.image
    for what, text in (("persistent volume", name), ("claim", claim), ("namespace", namespace)):
        if not _NAME.fullmatch(text):
            raise _refusal(description, f"{text!r} cannot be the name of a {what} in Kubernetes")
    storage_class = wanted.storage_class
    if storage_class is None:
        storage_class = old_claim.get("spec", {}).get("storageClassName") or ""
    shape = {
        "accessModes": old_volume.get("accessModes") or ["ReadWriteOnce"],
        "storageClassName": storage_class,
        "volumeMode": old_volume.get("volumeMode") or "Filesystem",
    }
    volume: Object = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            **shape,
            "capacity": {"storage": str(size)},
            # nobody else's claim may take it
            "claimRef": {"kind": "PersistentVolumeClaim", "namespace": namespace, "name": claim},
            # ceph-csi does not remove the image of a static volume
            "persistentVolumeReclaimPolicy": "Retain",
            "csi": _csi(description, image, wanted),
        },
    }
    if old_volume.get("mountOptions"):
        volume["spec"]["mountOptions"] = list(old_volume["mountOptions"])
    metadata: Object = {"name": claim, "namespace": namespace}
    same = (namespace, claim) == (description["volume"]["namespace"], description["volume"]["claim"])
    # elsewhere they would have whoever manages the original take the new claim for it
    for key in ("labels", "annotations") if same else ():
        if old_claim["metadata"].get(key):
            metadata[key] = dict(old_claim["metadata"][key])
    return volume, {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata,
        "spec": {**shape, "resources": {"requests": {"storage": str(size)}}, "volumeName": name},
    }


def is_encrypted(description: t.Mapping[str, t.Any]) -> bool:
    """Whether ceph-csi has encrypted the volume: what is in the image can be read only with its key."""
    spec = (description["manifests"].get("persistent_volume") or {}).get("spec") or {}
    attributes = (spec.get("csi") or {}).get("volumeAttributes") or {}
    metadata = description["image"].get("metadata") or {}
    return attributes.get("encrypted") in _TRUE or any(
        key.lstrip(".").startswith(("rbd.csi.ceph.com/encrypted", "rbd.csi.ceph.com/dek")) for key in metadata
    )


def has_key(description: t.Mapping[str, t.Any]) -> bool:
    """Whether the image's metadata held the (wrapped) key of an encrypted volume."""
    metadata = description["image"].get("metadata") or {}
    return any(key.lstrip(".") == "rbd.csi.ceph.com/dek" for key in metadata)


def _csi(description: t.Mapping[str, t.Any], image: ImageSpec, wanted: Wanted) -> Object:
    manifests, origin = description["manifests"], description["volume"]
    old = manifests["persistent_volume"]["spec"].get("csi") or {}
    attributes = old.get("volumeAttributes") or {}
    parameters = (manifests.get("storage_class") or {}).get("parameters") or {}
    cluster_id = wanted.cluster_id or attributes.get("clusterID") or parameters.get("clusterID")
    if not cluster_id:
        raise _refusal(description, "the cluster id of ceph-csi is not on record: give manifests.cluster_id")
    if image.rados_namespace != origin["rados_namespace"] and not wanted.cluster_id:
        raise _refusal(
            description,
            f"the image is restored into another RADOS namespace ({image.rados_namespace or 'the default one'}), "
            "for which ceph-csi has another cluster id: give manifests.cluster_id",
        )
    secret = old.get("nodeStageSecretRef") or {
        key: parameters.get(f"csi.storage.k8s.io/node-stage-secret-{key}") for key in ("name", "namespace")
    }
    if not secret.get("name") or not secret.get("namespace"):
        raise _refusal(
            description,
            "neither the persistent volume nor the storage class on record names the node stage secret of "
            "ceph-csi: write the manifests by hand (ceph-csi, docs/static-pvc.md)",
        )
    features = [name for name in description["image"]["features"] if name in _CSI_FEATURES]
    csi: Object = {
        "driver": old.get("driver") or (manifests.get("storage_class") or {}).get("provisioner") or _DRIVER,
        "volumeHandle": image.image,
        "nodeStageSecretRef": {"name": secret["name"], "namespace": secret["namespace"]},
        "volumeAttributes": {
            **{key: attributes[key] for key in _KEPT_ATTRIBUTES if key in attributes},
            "clusterID": cluster_id,
            "imageFeatures": attributes.get("imageFeatures") or ",".join(features),
            "pool": image.pool,
            "staticVolume": "true",
        },
    }
    if image.rados_namespace:
        csi["volumeAttributes"]["radosNamespace"] = image.rados_namespace
    for key in ("fsType", "controllerExpandSecretRef"):
        if old.get(key):
            csi[key] = old[key]
    return csi


def _refuse_encrypted(
    description: t.Mapping[str, t.Any], old_volume: t.Mapping[str, t.Any], image: ImageSpec
) -> None:
    """ceph-csi finds, or unwraps, the key by the volume handle (internal/kms), and a static volume has another one."""
    handle = (old_volume.get("csi") or {}).get("volumeHandle")
    if not is_encrypted(description) or handle == image.image:
        return
    missing = (
        "" if has_key(description) else " The image's metadata held no key either: it is in the KMS alone."
    )
    raise _refusal(
        description,
        f"the volume is encrypted, and its key belongs to the volume handle {handle}, which a static volume cannot "
        f"have.{missing} Restore the image without manifests, bring it back under its original name "
        f"{description['volume']['image']}, and keep or re-create the original persistent volume, which is in "
        "volume.json",
    )


def _refusal(description: t.Mapping[str, t.Any], why: str) -> InvalidInput:
    origin = description["volume"]
    return InvalidInput(
        f"No manifests can be made for {origin['namespace']}/{origin['claim']}: {why}. Nothing was touched."
    )
