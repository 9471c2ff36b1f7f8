# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the pod that a command is to run in."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import KubernetesError
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.client import Cluster
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.lists import fetch


@dataclasses.dataclass(frozen=True)
class PodRef:
    """A pod that commands can run in: its name, the names of its containers in order, and its uid."""

    name: str
    containers: tuple[str, ...]
    uid: str


def find_pod(cluster: Cluster, namespace: str, selector: str) -> PodRef:
    """Return the running and ready pod of *namespace* that matches the label *selector*; of several the newest.

    It is looked up afresh at each call: pods come and go during a run. Raises KubernetesError when there is none.
    """
    pods = fetch(cluster, f"/api/v1/namespaces/{namespace}/pods", (("labelSelector", selector),))
    usable = [pod for pod in pods if _is_ready(pod)]
    if not usable:
        seen = ", ".join(f"{pod['metadata']['name']} ({_state(pod)})" for pod in pods) or "none at all"
        raise KubernetesError(
            f"No pod of namespace {namespace} with the labels {selector} is running and ready; there is: {seen}. "
            "Nothing was run in it.",
            kind="no_pod",
        )
    newest = max(usable, key=lambda pod: (pod["metadata"]["creationTimestamp"], pod["metadata"]["name"]))
    return PodRef(
        name=newest["metadata"]["name"],
        containers=tuple(container["name"] for container in newest["spec"]["containers"]),
        uid=newest["metadata"]["uid"],
    )


def _is_ready(pod: dict[str, t.Any]) -> bool:
    status = pod.get("status", {})
    ready = {c["type"]: c["status"] for c in status.get("conditions") or []}.get("Ready") == "True"
    return ready and status.get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]


def _state(pod: dict[str, t.Any]) -> str:
    if "deletionTimestamp" in pod["metadata"]:
        return "being deleted"
    phase = str(pod.get("status", {}).get("phase", "unknown"))
    return "not ready" if phase == "Running" else phase
