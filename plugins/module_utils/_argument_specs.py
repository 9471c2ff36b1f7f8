# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that several modules share, as argument specs; the doc fragments of the same names describe them."""

from __future__ import annotations

import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.access_spec import CEPH_SPEC
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.auth_spec import AUTH_SPEC

# What every module takes: the ways to Kubernetes and to Ceph.
ACCESS: dict[str, t.Any] = {**AUTH_SPEC, "ceph": CEPH_SPEC}

# For a module that can do without Ceph: where nothing is said of it, there is none.
OPTIONAL_CEPH: dict[str, t.Any] = {"ceph": {**CEPH_SPEC, "apply_defaults": False}}

VOLUMES: dict[str, t.Any] = {
    "volumes": {"type": "list", "elements": "dict", "required": True},
    "prefix": {"type": "str", "default": "gfs"},
}

# For a module that takes the whole backup set where no volumes are given.
CHOSEN_VOLUMES: dict[str, t.Any] = {"volumes": {"type": "list", "elements": "dict"}}

PARALLEL: dict[str, t.Any] = {"parallel": {"type": "int", "default": 2}}

ARCHIVE: dict[str, t.Any] = {
    "root": {"type": "path", "required": True},
    "cluster": {"type": "str", "required": True},
}

# For a module that reads what backups wrote: the prefix of the set where none is given.
ANY_PREFIX: dict[str, t.Any] = {"prefix": {"type": "str"}}

COMPRESSION: dict[str, t.Any] = {
    "compression": {"type": "str", "choices": ["zstd", "gzip", "none"], "default": "zstd"},
    "compression_level": {"type": "int"},
    "compression_threads": {"type": "int"},
}
