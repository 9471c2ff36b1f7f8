# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option ``volumes``: what resolution returns is read again as it was, and what is none is refused by its name."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.volumes import (
    volume_to_dict,
    volumes_from_options,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import InvalidInput
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Identity, ImageSpec, Volume

VOLUME = Volume(
    "shop", "data", ImageSpec("fast", "blue", "one"), Identity("f", 4, "blue", "12ab"), {"claim": {}}
)


@pytest.mark.parametrize("changes", [{}, {"pool_id": "4"}])
def test_what_was_written_is_read(changes: dict[str, t.Any]) -> None:
    assert volumes_from_options([{**volume_to_dict(VOLUME), **changes}]) == [VOLUME]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"pool_id": "replicapool"},
            r"Entry 2 of volumes \(shop/data\).*pool_id 'replicapool' is no whole number",
        ),
        ({"pool_id": [4]}, "pool_id"),
        ({"pool_id": float("inf")}, "pool_id"),
        ({"users": 5}, "users"),
        ({"manifests": "none"}, "manifests"),
        ({"image": ""}, "Entry 2 of volumes lacks image"),
    ],
)
def test_what_is_none_of_resolution_is_refused(changes: dict[str, t.Any], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        volumes_from_options([volume_to_dict(VOLUME), {**volume_to_dict(VOLUME), **changes}])
