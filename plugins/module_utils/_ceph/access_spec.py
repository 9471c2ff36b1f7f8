# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option ``ceph``: how to reach Ceph. The doc fragment ``ceph`` describes it."""

from __future__ import annotations

import typing as t

CEPH_SPEC: dict[str, t.Any] = {
    "type": "dict",
    "apply_defaults": True,
    "options": {
        "mode": {"type": "str", "choices": ["local", "pod"], "default": "local"},
        # Not of type path: they may be paths in the pod, where neither "~" nor "$HOME" is this host's.
        "conf": {"type": "str"},
        "keyring": {"type": "str", "no_log": False},
        "user": {"type": "str"},
        "namespace": {"type": "str", "default": "rook-ceph"},
        "selector": {"type": "str", "default": "app=rook-ceph-tools"},
        "container": {"type": "str"},
        "command_timeout": {"type": "int", "default": 60},
        "stall_timeout": {"type": "int", "default": 600},
        "extra_args": {"type": "list", "elements": "str", "default": []},
    },
}
