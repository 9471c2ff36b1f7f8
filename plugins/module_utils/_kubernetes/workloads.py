# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a name in the inventory to the workload, its pods and what they mount. Pure: works on lists already read."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import InvalidInput, KubernetesError

Object = t.Mapping[str, t.Any]

# They hold copies of what is in the API or in an image, never data of their own.
_SILENT = frozenset(("configMap", "secret", "projected", "downwardAPI", "image"))


@dataclasses.dataclass(frozen=True)
class Workload:
    """A Deployment or StatefulSet. ``kind`` is in lower case, as in ``deployment/name``."""

    kind: str
    name: str
    manifest: Object

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


@dataclasses.dataclass(frozen=True)
class Mounts:
    """What a workload mounts: names of claims, and (volume of the pod, why it is not backed up).

    ``strangers`` are (claim, why it is not backed up): claims called like its own.
    """

    claims: tuple[str, ...]
    others: tuple[tuple[str, str], ...]
    strangers: tuple[tuple[str, str], ...] = ()


def matches(selector: Object | None, labels: t.Mapping[str, str] | None) -> bool:
    """Tell whether a LabelSelector selects *labels*. No selector selects nothing, an empty one everything.

    Source: kubernetes/apimachinery, LabelSelectorAsSelector; NotIn and DoesNotExist hold where the key is absent.
    Raises InvalidInput for an operator that is not there in Kubernetes.
    """
    if selector is None:
        return False
    labels = labels or {}
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_holds(expression, labels) for expression in selector.get("matchExpressions") or [])


def _holds(expression: Object, labels: t.Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values") or []
    operator = expression["operator"]
    if operator == "In":
        return key in labels and labels[key] in values
    if operator == "NotIn":
        return key not in labels or labels[key] not in values
    if operator == "Exists":
        return key in labels
    if operator == "DoesNotExist":
        return key not in labels
    raise InvalidInput(f"A label selector knows In, NotIn, Exists and DoesNotExist, but not {operator!r}.")


def all_workloads(deployments: t.Iterable[Object], statefulsets: t.Iterable[Object]) -> list[Workload]:
    """Make workloads of the objects of a namespace, in order of their names."""
    found = [Workload("deployment", item["metadata"]["name"], item) for item in deployments]
    found += [Workload("statefulset", item["metadata"]["name"], item) for item in statefulsets]
    return sorted(found, key=lambda workload: (workload.name, workload.kind))


def find_workload(name: str, candidates: t.Iterable[Workload]) -> Workload:
    """Return the workload called *name*: ``x``, ``deployment/x`` or ``statefulset/x``.

    Raises KubernetesError when there is none, and when the bare name is that of both kinds.
    """
    candidates = list(candidates)
    found = [workload for workload in candidates if name in (workload.name, str(workload))]
    if len(found) == 1:
        return found[0]
    if found:
        raise KubernetesError(
            f"{name!r} is the name of a Deployment and of a StatefulSet: write deployment/{name} or "
            f"statefulset/{name}. Neither is backed up until then.",
            kind="ambiguous",
        )
    there = ", ".join(str(workload) for workload in candidates[:20]) or "none"
    raise KubernetesError(
        f"There is no Deployment or StatefulSet {name!r}. What there is: {there}.", kind="not_found"
    )


def pods_of(workload: Workload, replicasets: t.Iterable[Object], pods: t.Iterable[Object]) -> list[Object]:
    """Return the pods that the workload's selector matches and that it owns.

    Both are asked for: selectors of two workloads may overlap, and a pod may have been orphaned and relabelled. A
    Deployment owns its pods through its ReplicaSets.
    """
    owners = {workload.manifest["metadata"]["uid"]}
    if workload.kind == "deployment":
        owners = {item["metadata"]["uid"] for item in replicasets if _owner(item) in owners}
    selector = workload.manifest["spec"].get("selector")
    return [pod for pod in pods if _owner(pod) in owners and matches(selector, pod["metadata"].get("labels"))]


def owner_of(item: Object) -> Object | None:
    """Return the reference to the controller that owns an object, if one does."""
    references = item["metadata"].get("ownerReferences") or []
    return next((reference for reference in references if reference.get("controller")), None)


def controller_of(pod: Object) -> str:
    """Name what runs the pod, as ``job/backup`` or, when nothing does, ``pod/name``."""
    owner = owner_of(pod)
    return f"{owner['kind'].lower()}/{owner['name']}" if owner else f"pod/{pod['metadata']['name']}"


def _owner(item: Object) -> str | None:
    owner = owner_of(item)
    return str(owner["uid"]) if owner else None


def mounts_of(workload: Workload, pods: t.Iterable[Object], claim_names: t.Collection[str]) -> Mounts:
    """Collect what the workload's template and its *pods* mount; *claim_names* are those that exist in the namespace.

    A StatefulSet's claims are also found by name, so that one scaled to zero and replicas scaled away are not missed.
    """
    specs = [workload.manifest["spec"]["template"]["spec"], *(pod["spec"] for pod in pods)]
    claims, others = mounts_in(specs)
    below: set[tuple[str, str]] = set()
    if workload.kind == "statefulset":
        own, below = _template_claims(workload, claim_names)
        claims |= own
    return Mounts(tuple(sorted(claims)), tuple(sorted(others)), tuple(sorted(below)))


def mounts_in(pod_specs: t.Iterable[Object]) -> tuple[set[str], set[tuple[str, str]]]:
    """Return the claims that pod specs mount, and (volume, reason) of what else in them can hold data."""
    claims: set[str] = set()
    others: set[tuple[str, str]] = set()
    for spec in pod_specs:
        for volume in spec.get("volumes") or []:
            source = next((key for key in volume if key != "name"), "emptyDir")
            if source == "persistentVolumeClaim":
                claims.add(volume[source]["claimName"])
            elif source not in _SILENT:
                others.add((volume["name"], _why_not(source, volume.get(source) or {})))
    return claims, others


def _why_not(source: str, content: Object) -> str:
    if source == "emptyDir":
        return "emptyDir: it is lost with its pod"
    if source == "ephemeral":
        return "ephemeral claim: it is deleted with its pod"
    if source == "csi":
        return f"inline CSI volume of the driver {content.get('driver')}: it is lost with its pod"
    if source == "hostPath":
        return f"hostPath {content.get('path')}: a directory of the node"
    if source == "rbd":
        return f"inline rbd volume {content.get('pool') or 'rbd'}/{content.get('image')}: only claims are backed up"
    return f"inline volume of kind {source}: only claims are backed up"


def _template_claims(
    workload: Workload, claim_names: t.Collection[str]
) -> tuple[set[str], set[tuple[str, str]]]:
    """Find ``<template>-<set>-<ordinal>`` (kubernetes, pkg/controller/statefulset, getPersistentVolumeClaimName).

    Those that the replicas should have are named whether they exist or not: a missing one is to be reported.
    """
    spec = workload.manifest["spec"]
    if not spec.get("volumeClaimTemplates"):
        return set(), set()
    start = int((spec.get("ordinals") or {}).get("start") or 0)
    replicas = int(spec.get("replicas", 1))
    claims: set[str] = set()
    below: set[tuple[str, str]] = set()
    for template in spec.get("volumeClaimTemplates") or []:
        name = template["metadata"]["name"]
        pattern = re.compile(rf"{re.escape(name)}-{re.escape(workload.name)}-(0|[1-9][0-9]*)")
        claims.update(f"{name}-{workload.name}-{ordinal}" for ordinal in range(start, start + replicas))
        for claim in claim_names:
            found = pattern.fullmatch(claim)
            if found and int(found[1]) >= start:
                claims.add(claim)
            elif found:
                below.add(
                    (
                        claim,
                        f"claim with an ordinal below spec.ordinals.start ({start}): not of this StatefulSet",
                    )
                )
    return claims, below
