# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the option ``ceph`` to a client."""

from __future__ import annotations

import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.local import LocalRunner
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.rbd import RbdClient
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.runner import Runner
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import InvalidInput

if t.TYPE_CHECKING:
    from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.client import Cluster


def open_ceph(options: t.Mapping[str, t.Any], cluster: t.Callable[[], Cluster]) -> RbdClient:
    """Return a client for *options* (those of ``CEPH_SPEC``, with their defaults). Nothing is asked yet.

    *cluster* is called only where Ceph is reached through a pod. Raises InvalidInput.
    """
    for name in ("command_timeout", "stall_timeout"):
        if options[name] <= 0:
            raise InvalidInput(f"ceph.{name} is {options[name]}: it must be a positive number of seconds.")
    runner: Runner
    if options["mode"] == "pod":
        # Not above: it brings the kubernetes library, which a local rbd does not need and which takes long to import.
        from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.pod import PodRunner

        runner = PodRunner(cluster, options["namespace"], options["selector"], options["container"])
    else:
        runner = LocalRunner()
    return RbdClient(
        runner,
        conf=options["conf"],
        keyring=options["keyring"],
        user=options["user"],
        extra_args=options["extra_args"],
        timeout=options["command_timeout"],
        stall_timeout=options["stall_timeout"],
    )
