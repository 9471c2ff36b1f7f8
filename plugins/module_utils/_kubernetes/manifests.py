# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trims manifests to what creates an object again on an empty cluster. Pure."""

from __future__ import annotations

import copy
import typing as t

Object = dict[str, t.Any]

_METADATA = ("name", "namespace", "labels", "annotations")
# Written by controllers about this very object; on a new one they would claim what is not true ("bound", "selected").
# pv.kubernetes.io/provisioned-by stays: without it the provisioner would not delete the image.
_DROPPED_ANNOTATIONS = frozenset(
    (
        "kubectl.kubernetes.io/last-applied-configuration",
        "pv.kubernetes.io/bind-completed",
        "pv.kubernetes.io/bound-by-controller",
        "volume.kubernetes.io/selected-node",
        "volume.kubernetes.io/storage-provisioner",
        "volume.beta.kubernetes.io/storage-provisioner",
    )
)


def trim(api_version: str, kind: str, item: t.Mapping[str, t.Any]) -> Object:
    """Return *item* without status, uids, versions, owners, finalizers and annotations of controllers.

    An owner that is gone would have the restored object deleted at once. A persistent volume keeps the name of its
    claim but not the claim's uid: the restored claim has another one.
    """
    metadata = {key: copy.deepcopy(item["metadata"][key]) for key in _METADATA if item["metadata"].get(key)}
    annotations = {
        key: value
        for key, value in metadata.pop("annotations", {}).items()
        if key not in _DROPPED_ANNOTATIONS
    }
    if annotations:
        metadata["annotations"] = annotations
    trimmed: Object = {"apiVersion": api_version, "kind": kind, "metadata": metadata}
    for key, value in item.items():
        if key not in ("apiVersion", "kind", "metadata", "status"):
            trimmed[key] = copy.deepcopy(value)
    reference = trimmed.get("spec", {}).get("claimRef")
    if reference:
        trimmed["spec"]["claimRef"] = {
            key: reference[key] for key in ("namespace", "name") if key in reference
        }
    return trimmed
