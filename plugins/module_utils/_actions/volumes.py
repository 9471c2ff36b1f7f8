# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes as the modules hand them to each other."""

from __future__ import annotations

import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.rbd import RbdClient
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import BackupError, InvalidInput
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import (
    Identity,
    ImageInfo,
    ImageSpec,
    Volume,
)

_REQUIRED = ("namespace", "claim", "pool", "image")
_IDENTITY = ("fsid", "pool_id", "image_id")


def volume_to_dict(volume: Volume) -> dict[str, t.Any]:
    """Write *volume* as data; :func:`volumes_from_options` reads it again."""
    identity = volume.identity
    return {
        "namespace": volume.namespace,
        "claim": volume.claim,
        "pool": volume.spec.pool,
        "rados_namespace": volume.spec.rados_namespace,
        "image": volume.spec.image,
        "fsid": identity.fsid if identity else None,
        "pool_id": identity.pool_id if identity else None,
        "image_id": identity.image_id if identity else None,
        "manifests": dict(volume.manifests),
    }


def volumes_from_options(items: t.Iterable[t.Mapping[str, t.Any]]) -> list[Volume]:
    """Read the option ``volumes``, or raise InvalidInput that names the entry and what it lacks."""
    volumes: dict[ImageSpec, Volume] = {}
    for number, item in enumerate(items, start=1):
        missing = [key for key in _REQUIRED if not item.get(key)]
        if missing:
            raise InvalidInput(
                f"Entry {number} of volumes lacks {', '.join(missing)}: pass on what k8s_rbd_resolve returned. "
                "Nothing was touched."
            )
        try:
            volume = _volume(item)
        except (TypeError, ValueError, OverflowError):
            raise InvalidInput(
                f"Entry {number} of volumes ({item['namespace']}/{item['claim']}) is none of k8s_rbd_resolve: its "
                f"pool_id {item.get('pool_id')!r} is no whole number, or users no list, or manifests no map. Pass on "
                "what k8s_rbd_resolve returned. Nothing was touched."
            ) from None
        volumes.setdefault(volume.spec, volume)
    return list(volumes.values())


def prove_identity(volume: Volume, ceph: RbdClient) -> tuple[Identity, ImageInfo]:
    """Ask Ceph for the image's identity, and hold it against the one that resolution proved.

    Returns it and what else Ceph said of the image. Raises CephError or NotFound; BackupError when the name now leads
    to another image.
    """
    info = ceph.info(volume.spec)
    return check_identity(volume, ceph.identity(volume.spec, info)), info


def check_identity(volume: Volume, found: Identity) -> Identity:
    """Hold the identity that Ceph gives against the one that resolution proved, and return it. Raises BackupError."""
    if volume.identity is not None and volume.identity != found:
        raise BackupError(
            f"The image {volume.spec} of claim {volume.namespace}/{volume.claim} is not the one that was resolved "
            f"(image id {volume.identity.image_id} in cluster {volume.identity.fsid}, now {found.image_id} in "
            f"{found.fsid}). It was left untouched: resolve again."
        )
    return found


def _volume(item: t.Mapping[str, t.Any]) -> Volume:
    identity = None
    if all(item.get(key) is not None for key in _IDENTITY):
        identity = Identity(
            str(item["fsid"]), int(item["pool_id"]), item.get("rados_namespace") or "", str(item["image_id"])
        )
    return Volume(
        namespace=str(item["namespace"]),
        claim=str(item["claim"]),
        spec=ImageSpec(str(item["pool"]), str(item.get("rados_namespace") or ""), str(item["image"])),
        identity=identity,
        manifests=dict(item.get("manifests") or {}),
        users=None if item.get("users") is None else tuple(str(user) for user in item["users"]),
    )
