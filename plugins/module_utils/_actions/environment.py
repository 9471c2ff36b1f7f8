# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an action is given to work with, and what it gives back."""

from __future__ import annotations

import dataclasses
import datetime as dt
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.access import open_ceph
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.rbd import RbdClient
from ansible_collections.rbd_backup.gfs.plugins.module_utils._names import parse_utc

if t.TYPE_CHECKING:
    from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.client import Cluster


class Environment:
    """The options of the task, and the ways to Kubernetes and Ceph that they describe; each is opened on first use."""

    def __init__(self, options: t.Mapping[str, t.Any], check_mode: bool = False) -> None:
        self.options = options
        self.check_mode = check_mode
        self._cluster: Cluster | None = None
        self._ceph: RbdClient | None = None

    def cluster(self) -> Cluster:
        """The Kubernetes cluster. Raises KubernetesError."""
        if self._cluster is None:
            # Not above: the kubernetes library takes as long to import as everything else, and a local rbd needs none.
            from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.client import connect

            self._cluster = connect(self.options)
        return self._cluster

    def ceph(self) -> RbdClient:
        """The Ceph cluster. Raises CephError, or KubernetesError when Ceph is reached through a pod."""
        if self._ceph is None:
            self._ceph = open_ceph(self.options["ceph"], self.cluster)
        return self._ceph

    def time(self) -> dt.datetime:
        """The time that the run is about: the option ``time``, else now; UTC, whole seconds."""
        given = self.options.get("time")
        return parse_utc(given) if given else self.now()

    def now(self) -> dt.datetime:
        """The present, UTC, whole seconds."""
        return dt.datetime.now(dt.timezone.utc).replace(microsecond=0)

    def close(self) -> None:
        """Let go of what was opened."""
        if self._ceph is not None:
            self._ceph.close()


@dataclasses.dataclass
class Outcome:
    """What an action did: ``values`` become the module's return values.

    ``failures`` name each volume that failed; None where the action does not work on volumes. ``fatal`` says why the
    task fails although it is not a volume that failed.
    """

    changed: bool = False
    values: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    failures: list[dict[str, t.Any]] | None = None
    warnings: list[str] = dataclasses.field(default_factory=list)
    diff: dict[str, str] | None = None
    fatal: str | None = None
