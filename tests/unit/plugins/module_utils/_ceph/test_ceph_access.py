# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option ``ceph`` and what it opens."""

from __future__ import annotations

import typing as t

import pytest
import yaml

from ansible_collections.rbd_backup.gfs.plugins.doc_fragments.ceph import ModuleDocFragment
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.access import open_ceph
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.access_spec import CEPH_SPEC
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import InvalidInput
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.client import Cluster

DEFAULTS = {name: option.get("default") for name, option in CEPH_SPEC["options"].items()}


def no_cluster() -> Cluster:
    raise AssertionError("Kubernetes is not needed for this")


def test_the_fragment_describes_the_spec() -> None:
    described = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]["ceph"]
    assert described.pop("description")
    assert all(option.pop("description") for option in described["suboptions"].values())
    suboptions = described.pop("suboptions")
    spec: dict[str, t.Any] = {key: value for key, value in CEPH_SPEC.items() if key != "apply_defaults"}
    options = spec.pop("options")
    assert described == spec
    assert suboptions == {
        name: {key: value for key, value in option.items() if key != "no_log"}
        for name, option in options.items()
    }


@pytest.mark.parametrize("mode", ["local", "pod"])
def test_opening_asks_nothing(mode: str) -> None:
    open_ceph({**DEFAULTS, "mode": mode}, no_cluster).close()


@pytest.mark.parametrize("name", ["command_timeout", "stall_timeout"])
def test_a_time_out_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match=f"ceph.{name} is 0"):
        open_ceph({**DEFAULTS, name: 0}, no_cluster)
