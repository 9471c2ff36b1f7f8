# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From claims to volumes: each claim becomes a volume, a skip with its reason, or a problem. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.manifests import trim
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.shapes import (
    CLAIM,
    PERSISTENT_VOLUME,
    fault,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.volumes import (
    Location,
    NotRbd,
    Unresolved,
    locate,
    rados_namespaces,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Volume

Object = t.Mapping[str, t.Any]

_BETA_CLASS = "volume.beta.kubernetes.io/storage-class"


@dataclasses.dataclass(frozen=True)
class ResolvedVolume:
    """A volume and how it was found. ``users`` are workloads of the claim's namespace, e.g. ``deployment/shop``.

    ``pool_id`` and ``cluster_id`` are what the persistent volume says of the pool's id and of ceph-csi's cluster id,
    None where it says nothing: hints, to be held against Ceph.
    """

    volume: Volume
    users: tuple[str, ...]
    storage_class: str
    persistent_volume: str
    form: str
    pool_id: int | None
    cluster_id: str | None


@dataclasses.dataclass(frozen=True)
class Skip:
    """Something that can hold data and is not backed up. ``volume`` is the name inside the pod, where there is one."""

    namespace: str
    reason: str
    workload: str | None = None
    claim: str | None = None
    volume: str | None = None
    warning: bool = False


class _LeftOut(Exception):
    """There is no volume behind a claim; the text says why. ``warning``: there was one, and it is to be backed up."""

    def __init__(self, reason: str, warning: bool = False) -> None:
        super().__init__(reason)
        self.warning = warning


class _Doubtful(Exception):
    """A claim and its persistent volume cannot be believed; the text says why."""


class ClaimResolver:
    """Takes claims up one by one; afterwards ``skipped``, ``problems`` and :meth:`volumes` hold every one of them."""

    def __init__(
        self,
        persistent_volumes: t.Iterable[Object],
        storage_classes: t.Iterable[Object],
        wanted_classes: t.Collection[str],
    ) -> None:
        self.skipped: list[Skip] = []
        self.problems: list[tuple[str, str, str]] = []
        self._persistent_volumes = {item["metadata"]["name"]: item for item in persistent_volumes}
        wrong = {name: fault(item, PERSISTENT_VOLUME) for name, item in self._persistent_volumes.items()}
        self._faults = {
            name: f"its persistent volume {name} is none of Kubernetes: {text}"
            for name, text in wrong.items()
            if text
        }
        self._storage_classes = {item["metadata"]["name"]: item for item in storage_classes}
        self._wanted = wanted_classes
        self._rados_namespaces = rados_namespaces(
            item for name, item in self._persistent_volumes.items() if name not in self._faults
        )
        self._found: list[ResolvedVolume] = []

    def add(self, namespace: str, name: str, claim: Object | None, users: t.Sequence[str]) -> None:
        """Take the claim *name* of *namespace* up. *claim* is None when it does not exist."""
        try:
            storage_class, persistent_volume = self._behind(claim)
        except _LeftOut as err:
            self._skip(namespace, name, users, str(err), err.warning)
            return
        except _Doubtful as err:
            self.problems.append((namespace, name, f"The claim {namespace}/{name} was not resolved: {err}."))
            return
        try:
            location = locate(persistent_volume, self._rados_namespaces)
        except NotRbd as err:
            self._skip(namespace, name, users, f"not an RBD image: {err}")
        except Unresolved as err:
            if storage_class in self._wanted:
                message = f"The claim {namespace}/{name} cannot be resolved to an image: {err}"
                self.problems.append(
                    (namespace, name, f"{message} ({persistent_volume['metadata']['name']}).")
                )
            else:
                self._skip_class(namespace, name, users, storage_class)
        else:
            if claim is not None and storage_class in self._wanted:
                self._add_volume(claim, persistent_volume, storage_class, location, users)
            else:
                self._skip_class(namespace, name, users, storage_class)

    def volumes(self) -> list[ResolvedVolume]:
        """Return the volumes in order of namespace and claim; an image behind two claims is there twice."""
        return sorted(self._found, key=lambda item: (item.volume.namespace, item.volume.claim))

    def _behind(self, claim: Object | None) -> tuple[str, Object]:
        """Return a claim's storage class and persistent volume. Raises _LeftOut and _Doubtful."""
        if claim is None:
            raise _LeftOut("the claim does not exist")
        wrong = fault(claim, CLAIM)
        if wrong:
            raise _Doubtful(f"it is no claim of Kubernetes: {wrong}")
        storage_class = _class_of(claim)
        wanted = storage_class in self._wanted
        phase = (claim.get("status") or {}).get("phase") or "Pending"
        name = claim["spec"].get("volumeName")
        # In both cases below that warn there was a volume once.
        if phase == "Lost":
            raise _LeftOut("the claim is Lost: its persistent volume is gone", warning=wanted)
        if phase != "Bound" or not name:
            raise _LeftOut(f"the claim is {phase}: no persistent volume is bound to it")
        persistent_volume = self._persistent_volumes.get(name)
        if persistent_volume is None:
            raise _LeftOut(f"its persistent volume {name} does not exist", warning=wanted)
        wrong = self._faults.get(name) or _bound_elsewhere(claim, persistent_volume)
        if wrong:
            raise _Doubtful(wrong)
        return storage_class, persistent_volume

    def _skip(
        self, namespace: str, claim: str, users: t.Sequence[str], reason: str, warning: bool = False
    ) -> None:
        workloads: list[str | None] = [*users] or [None]
        for workload in workloads:
            self.skipped.append(Skip(namespace, reason, workload=workload, claim=claim, warning=warning))

    def _skip_class(self, namespace: str, claim: str, users: t.Sequence[str], storage_class: str) -> None:
        reason = f"its storage class is {storage_class!r}" if storage_class else "it has no storage class"
        reason += ", which is not among those to be backed up"
        self._skip(namespace, claim, users, reason, warning=True)

    def _add_volume(
        self,
        claim: Object,
        persistent_volume: Object,
        storage_class: str,
        location: Location,
        users: t.Sequence[str],
    ) -> None:
        namespace, name = claim["metadata"]["namespace"], claim["metadata"]["name"]
        manifests: dict[str, t.Any] = {
            "claim": trim("v1", "PersistentVolumeClaim", claim),
            "persistent_volume": trim("v1", "PersistentVolume", persistent_volume),
        }
        if storage_class in self._storage_classes:
            manifests["storage_class"] = trim(
                "storage.k8s.io/v1", "StorageClass", self._storage_classes[storage_class]
            )
        self._found.append(
            ResolvedVolume(
                volume=Volume(namespace=namespace, claim=name, spec=location.spec, manifests=manifests),
                users=tuple(users),
                storage_class=storage_class,
                persistent_volume=persistent_volume["metadata"]["name"],
                form=location.form,
                pool_id=location.pool_id,
                cluster_id=location.cluster_id,
            )
        )


def without_duplicates(
    found: t.Iterable[ResolvedVolume], key: t.Callable[[ResolvedVolume], t.Hashable]
) -> tuple[list[ResolvedVolume], list[Skip], list[tuple[str, str, str]]]:
    """Keep one claim for each image, which is what *key* tells apart.

    Returns the first claims, the others, and (namespace, claim, message) for those that only seem to be of one image.
    """
    first: dict[t.Hashable, ResolvedVolume] = {}
    skips: list[Skip] = []
    problems: list[tuple[str, str, str]] = []
    for item in found:
        volume = item.volume
        kept = first.setdefault(key(item), item)
        if kept is item:
            continue
        other = f"{kept.volume.namespace}/{kept.volume.claim}"
        if _differ(item.cluster_id, kept.cluster_id) or _differ(item.pool_id, kept.pool_id):
            message = (
                f"The claims {other} and {volume.namespace}/{volume.claim} lead to images of the same name "
                f"{volume.spec} in two Ceph clusters (clusterID {kept.cluster_id} and {item.cluster_id}, pool id "
                f"{kept.pool_id} and {item.pool_id}); the second was left out. Back up the claims of each Ceph "
                "cluster in a run of its own."
            )
            problems.append((volume.namespace, volume.claim, message))
        else:
            skips += skips_of(item, f"its image {volume.spec} is backed up as that of the claim {other}")
    return list(first.values()), skips, problems


def skips_of(item: ResolvedVolume, reason: str, warning: bool = False) -> list[Skip]:
    """Return why a volume that was found is left out, once for each of its users."""
    users: list[str | None] = [*item.users] or [None]
    volume = item.volume
    return [Skip(volume.namespace, reason, user, volume.claim, warning=warning) for user in users]


def _differ(one: object, other: object) -> bool:
    return None not in (one, other) and one != other


def _class_of(claim: Object) -> str:
    """The annotation comes first (kubernetes, component-helpers, GetPersistentVolumeClaimClass)."""
    annotations = claim["metadata"].get("annotations") or {}
    return str(annotations.get(_BETA_CLASS, claim["spec"].get("storageClassName") or ""))


def _bound_elsewhere(claim: Object, persistent_volume: Object) -> str:
    """Return how the persistent volume contradicts the claim, or nothing.

    Anyone may write any name into a claim's volumeName; only a persistent volume that says the same is the claim's.
    """
    reference = persistent_volume["spec"].get("claimRef") or {}
    metadata = claim["metadata"]
    name = persistent_volume["metadata"]["name"]
    if (reference.get("namespace"), reference.get("name")) != (metadata["namespace"], metadata["name"]):
        bound_to = f"{reference.get('namespace')}/{reference.get('name')}" if reference else "no claim"
        return f"it names the persistent volume {name}, which is bound to {bound_to}"
    if reference.get("uid") not in (None, "", metadata["uid"]):
        return f"the persistent volume {name} is bound to an earlier claim of that name"
    return ""
