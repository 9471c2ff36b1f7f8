# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an object in the cluster is the one that a restore would create."""

from __future__ import annotations

import copy
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.same_object import is_same

WANTED = {
    "apiVersion": "v1",
    "kind": "PersistentVolume",
    "metadata": {"name": "x"},
    "spec": {
        "capacity": {"storage": "5000000000"},
        "claimRef": {"kind": "PersistentVolumeClaim", "name": "c"},
        "csi": {"volumeHandle": "1000"},
        "accessModes": ["RWO"],
    },
}


@pytest.mark.parametrize(
    ("path", "value", "same"),
    [
        ("spec.claimRef.uid", "12", True),
        ("spec.capacity.storage", "5G", True),
        ("spec.capacity.storage", "5Gi", False),
        ("spec.capacity.storage", "lots", False),
        ("status.phase", "Bound", True),
        ("status.phase", "Released", False),
        ("metadata.deletionTimestamp", "2026-01-01T00:00:00Z", False),
        ("metadata.name", "y", False),
        ("spec.accessModes", ["RWO", "RWX"], False),
        ("spec.claimRef", None, False),
        ("spec.csi.volumeHandle", "1k", False),
        ("spec.csi.volumeHandle", "01000", False),
    ],
)
def test_what_was_added_does_not_matter_and_what_differs_does(path: str, value: t.Any, same: bool) -> None:
    there: dict[str, t.Any] = copy.deepcopy(WANTED)
    del there["kind"], there["apiVersion"]
    *way, last = path.split(".")
    place = there
    for key in way:
        place = place.setdefault(key, {})
    place[last] = value
    assert is_same(WANTED, there) is same
