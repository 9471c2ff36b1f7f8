# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From "namespace and workloads" of the inventory to the complete list of volumes, and of what is left out and why.

Nothing is proved against Ceph here: a volume's identity is still open.
"""

from __future__ import annotations

import dataclasses
import typing as t
from urllib.parse import quote

from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import InvalidInput, KubernetesError
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.claims import (
    ClaimResolver,
    ResolvedVolume,
    Skip,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.client import Cluster
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.inventory import (
    Request,
    read_requests,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.lists import list_objects
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.workloads import (
    Object,
    Workload,
    all_workloads,
    controller_of,
    find_workload,
    matches,
    mounts_in,
    mounts_of,
    owner_of,
    pods_of,
)

# What concerns one namespace or one kind; anything else (no connection, no login) concerns everything.
_LOCAL = frozenset(("forbidden", "not_found", "server", "timeout", "expired", "answer"))


@dataclasses.dataclass
class Resolution:
    """What :func:`resolve` found.

    ``volumes``: an image that is behind two claims is there twice. ``skipped``: dicts with namespace, workload, claim,
    volume, reason, warning; what can hold data and is not backed up. ``warning`` is true where an RBD image is left out
    for its storage class alone or its name cannot be told, and where a claim has lost its persistent volume.
    ``problems``: dicts with namespace, workload, claim, message. ``requests``: API requests made, retries included.
    """

    volumes: list[ResolvedVolume] = dataclasses.field(default_factory=list)
    skipped: list[dict[str, t.Any]] = dataclasses.field(default_factory=list)
    problems: list[dict[str, t.Any]] = dataclasses.field(default_factory=list)
    requests: int = 0


@dataclasses.dataclass
class _Found:
    """What the workloads of one namespace mount: users by claim, and the rest."""

    users: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    skips: list[Skip] = dataclasses.field(default_factory=list)


def resolve(
    cluster: Cluster, workloads: t.Sequence[t.Mapping[str, t.Any]], storage_classes: t.Sequence[str]
) -> Resolution:
    """Resolve *workloads* (entries with ``namespace`` and ``deployments``) to the volumes of *storage_classes*.

    ``deployments`` is a list of names, the word ``all``, or a label selector. The class ``""`` stands for claims
    without one. Raises InvalidInput for an inventory that cannot be read, and KubernetesError when the API server
    cannot be reached or does not accept the credentials. All else is collected in the result.
    """
    requests = read_requests(workloads)
    if not storage_classes:
        raise InvalidInput("storage_classes is empty: name the classes whose volumes are to be backed up.")
    before = cluster.requests
    result = Resolution()
    found = {request.namespace: _read_namespace(cluster, request, result) for request in requests}
    _check_classes(cluster, found, storage_classes, result)
    _read_claims(cluster, found, storage_classes, result)
    result.requests = cluster.requests - before
    return result


def _problem(result: Resolution, message: str, **where: str | None) -> None:
    entry: dict[str, t.Any] = {
        "namespace": None,
        "workload": None,
        "claim": None,
        **where,
        "message": message,
    }
    if entry not in result.problems:
        result.problems.append(entry)


def _list(cluster: Cluster, kind: str, namespace: str | None, result: Resolution) -> list[Object] | None:
    """List one kind; None when that was refused or failed, which is then a problem."""
    try:
        return t.cast("list[Object]", list_objects(cluster, kind, namespace))
    except KubernetesError as err:
        if err.details.get("kind") not in _LOCAL:
            raise
        _problem(result, err.message, namespace=namespace)
        return None


def _read_namespace(cluster: Cluster, request: Request, result: Resolution) -> _Found:
    found = _Found()
    lists = []
    for kind in ("deployments", "statefulsets", "persistentvolumeclaims"):
        items = _list(cluster, kind, request.namespace, result)
        if items is None:
            return found
        lists.append(items)
    deployments, statefulsets, claims = lists
    # Without its pods a workload is still known by its template: better most of its volumes than none.
    pods = _list(cluster, "pods", request.namespace, result) or []
    replicasets = (
        (_list(cluster, "replicasets", request.namespace, result) or []) if pods and deployments else []
    )
    candidates = all_workloads(deployments, statefulsets)
    if not (candidates or claims or pods) and not _exists(cluster, request, result):
        return found
    claim_names = {claim["metadata"]["name"] for claim in claims}
    strangers = {pod["metadata"]["name"]: pod for pod in pods}
    for workload in _select(request, candidates, result):
        own = pods_of(workload, replicasets, pods)
        for pod in own:
            strangers.pop(pod["metadata"]["name"], None)
        mounts = mounts_of(workload, own, claim_names)
        for name in mounts.claims:
            found.users.setdefault(name, []).append(str(workload))
        found.skips += [
            Skip(request.namespace, reason, workload=str(workload), volume=volume)
            for volume, reason in mounts.others
        ]
        found.skips += [
            Skip(request.namespace, reason, workload=str(workload), claim=claim)
            for claim, reason in mounts.strangers
        ]
    if request.everything:
        _add_the_rest(found, request.namespace, claims, strangers.values())
    return found


def _exists(cluster: Cluster, request: Request, result: Resolution) -> bool:
    """Tell an empty namespace from one that is not there: lists look the same for both."""
    namespace = request.namespace
    try:
        cluster.get(f"/api/v1/namespaces/{quote(namespace, safe='')}")
        return True
    except KubernetesError as err:
        if err.details.get("kind") not in _LOCAL:
            raise
        if err.details["kind"] == "not_found":
            message = f"The namespace {namespace} does not exist."
        else:
            message = (
                f"The namespace {namespace} holds no workload, claim or pod, or it does not exist: to see which, the "
                "account needs the verb get on namespaces."
            )
    asked = f" Asked for in it: {', '.join(request.names)}." if request.names else ""
    _problem(result, message + asked, namespace=namespace)
    return False


def _select(request: Request, candidates: list[Workload], result: Resolution) -> list[Workload]:
    if request.everything:
        return candidates
    selected = []
    if request.selector is not None:
        labelled = [w for w in candidates if matches(request.selector, w.manifest["metadata"].get("labels"))]
        if not labelled:
            _problem(
                result,
                f"No Deployment or StatefulSet of the namespace {request.namespace} has the labels asked for.",
                namespace=request.namespace,
            )
        selected += labelled
    for name in request.names:
        try:
            workload = find_workload(name, candidates)
        except KubernetesError as err:
            _problem(
                result,
                f"Namespace {request.namespace}: {err.message}",
                namespace=request.namespace,
                workload=name,
            )
            continue
        if workload not in selected:
            selected.append(workload)
    return selected


def _add_the_rest(
    found: _Found, namespace: str, claims: t.Iterable[Object], pods: t.Iterable[Object]
) -> None:
    """``all`` means every claim of the namespace: also those of jobs, of operators' pods, and of nobody."""
    users: dict[str, set[str]] = {}
    others: set[tuple[str, str, str]] = set()
    for pod in pods:
        user = controller_of(pod)
        mounted, unclaimed = mounts_in([pod["spec"]])
        for name in mounted:
            users.setdefault(name, set()).add(user)
        others.update((user, volume, reason) for volume, reason in unclaimed)
    found.skips += [
        Skip(namespace, reason, workload=user, volume=volume) for user, volume, reason in sorted(others)
    ]
    for claim in claims:
        name = claim["metadata"]["name"]
        owner = owner_of(claim)
        if owner is not None and owner["kind"] == "Pod":
            reason = f"ephemeral claim: it is deleted with its pod {owner['name']}"
            found.skips.append(Skip(namespace, reason, claim=name))
        elif name in users or name not in found.users:
            found.users[name] = found.users.get(name, []) + sorted(users.get(name, ()))


def _check_classes(
    cluster: Cluster, found: t.Mapping[str, _Found], storage_classes: t.Iterable[str], result: Resolution
) -> None:
    if not any(item.users for item in found.values()):
        return
    there = _list(cluster, "storageclasses", None, result)
    if there is None:
        return
    names = {item["metadata"]["name"] for item in there}
    for name in storage_classes:
        # A class may have been deleted while its claims live on; then it is named by a persistent volume.
        if name and name not in names and not _is_named(cluster, name, result):
            _problem(result, f"There is no StorageClass {name}, and no persistent volume names it.")


def _is_named(cluster: Cluster, storage_class: str, result: Resolution) -> bool:
    volumes = _list(cluster, "persistentvolumes", None, result) or []
    return any((item.get("spec") or {}).get("storageClassName") == storage_class for item in volumes)


def _read_claims(
    cluster: Cluster, found: t.Mapping[str, _Found], storage_classes: t.Sequence[str], result: Resolution
) -> None:
    result.skipped += [dataclasses.asdict(skip) for item in found.values() for skip in item.skips]
    resolver: ClaimResolver | None = None
    for namespace, item in found.items():
        if not item.users:
            continue
        if resolver is None:
            volumes = _list(cluster, "persistentvolumes", None, result)
            if volumes is None:
                return
            resolver = ClaimResolver(
                volumes, _list(cluster, "storageclasses", None, result) or [], storage_classes
            )
        claims = {
            claim["metadata"]["name"]: claim
            for claim in list_objects(cluster, "persistentvolumeclaims", namespace)
        }
        for name in sorted(item.users):
            resolver.add(namespace, name, claims.get(name), item.users[name])
    if resolver is not None:
        result.volumes = resolver.volumes()
        result.skipped += [dataclasses.asdict(skip) for skip in resolver.skipped]
        for claim_namespace, claim, message in resolver.problems:
            _problem(result, message, namespace=claim_namespace, claim=claim)
