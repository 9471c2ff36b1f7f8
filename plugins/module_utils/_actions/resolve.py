# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find the volumes behind the configured workloads, and prove their identity against Ceph where access is given."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.each_volume import (
    check_parallel,
    for_each_volume,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.environment import Environment, Outcome
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.volumes import volume_to_dict
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.rbd import RbdClient
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import (
    BackupError,
    CephError,
    KubernetesError,
    NotFound,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.claims import (
    ResolvedVolume,
    Skip,
    skips_of,
    without_duplicates,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.client import Cluster
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.resolve import Resolution, resolve
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import (
    ImageInfo,
    ImageSpec,
    Volume,
)

# ceph-csi writes these into an image's metadata (its option --setmetadata, which Rook turns on).
_OWNER = {"csi.storage.k8s.io/pvc/namespace": "namespace", "csi.storage.k8s.io/pvc/name": "claim"}

_ASKED = ("workloads", "storage_classes", "strict", "ceph")


@dataclasses.dataclass(frozen=True)
class _Proved:
    """A resolved volume and what Ceph says of its image; None where Ceph was not asked."""

    item: ResolvedVolume
    info: ImageInfo | None = None


def run(environment: Environment) -> Outcome:
    """Carry out the module ``k8s_rbd_resolve``. Raises InvalidInput."""
    options = environment.options
    parallel = check_parallel(options)
    resolution = Resolution()
    cluster: Cluster | None = None
    try:
        cluster = environment.cluster()
        key = _key(cluster, options)
        if options["resolved_for"] == key:
            return _outcome([], resolution, key, reused=True)
        resolution = resolve(cluster, options["workloads"], options["storage_classes"])
        found = [_Proved(item) for item in resolution.volumes]
        if options["ceph"] is not None and found:
            found = _prove(resolution, environment.ceph(), parallel)
        found = _choose(found, resolution)
    except (CephError, KubernetesError) as error:
        _problem(resolution, error.message)
        resolution.requests = cluster.requests if cluster else 0
        outcome = _outcome([], resolution, None)
        outcome.fatal = error.message
        return outcome
    outcome = _outcome(found, resolution, key)
    if options["strict"] and resolution.problems:
        outcome.fatal = _fatal(resolution.problems)
    return outcome


def _key(cluster: Cluster, options: t.Mapping[str, t.Any]) -> str:
    """Hash all that the answer depends on. The options for Kubernetes count by the connection that they lead to."""
    asked = {name: options[name] for name in _ASKED}
    text = json.dumps([cluster.connection, asked], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _outcome(
    found: t.Sequence[_Proved], resolution: Resolution, key: str | None, reused: bool = False
) -> Outcome:
    return Outcome(
        values={
            "volumes": [_to_dict(proved) for proved in found],
            # not "skipped": Ansible takes a result with that key for a task that was skipped
            "left_out": resolution.skipped,
            "problems": resolution.problems,
            "requests": resolution.requests,
            "resolved_for": key,
            "reused": reused,
        },
        warnings=[_warning(item) for item in resolution.skipped if item["warning"]],
    )


def _prove(resolution: Resolution, ceph: RbdClient, parallel: int) -> list[_Proved]:
    """Ask Ceph for the identity of every volume. What cannot be proved is no volume but a problem.

    Raises CephError where Ceph cannot be asked at all: said once, not once a volume.
    """
    ceph.fsid()
    ceph.pool_ids()
    by_volume = {id(item.volume): item for item in resolution.volumes}

    def prove(volume: Volume) -> _Proved:
        item = by_volume[id(volume)]
        spec, info = _find_image(item, ceph)
        _check_owner(volume, ceph.metadata(spec))
        proved = dataclasses.replace(volume, spec=spec, identity=ceph.identity(spec, info))
        return _Proved(dataclasses.replace(item, volume=proved), info)

    found, failures = for_each_volume([item.volume for item in resolution.volumes], prove, parallel)
    for failed in failures:
        _problem(resolution, failed["message"], namespace=failed["namespace"], claim=failed["claim"])
    return found


def _choose(found: t.Sequence[_Proved], resolution: Resolution) -> list[_Proved]:
    """Leave out what is no image to back up, or is backed up already under another claim."""
    primary = []
    for proved in found:
        if proved.info is None or proved.info.primary:
            primary.append(proved)
            continue
        reason = (
            f"its image {proved.item.volume.spec} is a copy that mirroring writes (non-primary), and takes no "
            "snapshots: it has to be backed up in the Ceph cluster where it is primary, or promoted"
        )
        _leave_out(resolution, skips_of(proved.item, reason, warning=True))
    kept, skips, problems = without_duplicates(
        [proved.item for proved in primary], lambda item: item.volume.identity or item.volume.spec
    )
    _leave_out(resolution, skips)
    for namespace, claim, message in problems:
        _problem(resolution, message, namespace=namespace, claim=claim)
    names = {(item.volume.namespace, item.volume.claim) for item in kept}
    return [p for p in primary if (p.item.volume.namespace, p.item.volume.claim) in names]


def _find_image(item: ResolvedVolume, ceph: RbdClient) -> tuple[ImageSpec, ImageInfo]:
    """Find the image in the pool that the volume handle means by its id: a pool may have been renamed."""
    spec = item.volume.spec
    there = ceph.pool_ids()
    if item.pool_id is None or item.pool_id == there.get(spec.pool):
        return spec, ceph.info(spec)
    name = next((name for name, pool_id in there.items() if pool_id == item.pool_id), None)
    contradiction = (
        f"The persistent volume {item.persistent_volume} says that volume {item.volume} is in the pool with id "
        f"{item.pool_id}, and Ceph says that "
        + (
            f"pool {spec.pool} has id {there[spec.pool]}"
            if spec.pool in there
            else f"there is no {spec.pool}"
        )
    )
    advice = "It may be a volume of another Ceph cluster. It was left out."
    if name is None:
        raise BackupError(f"{contradiction}; no pool has that id. {advice}")
    renamed = dataclasses.replace(spec, pool=name)
    try:
        return renamed, ceph.info(renamed)
    except NotFound:
        raise BackupError(
            f"{contradiction}; the pool with that id is {name}, which has no such image. {advice}"
        ) from None


def _check_owner(volume: Volume, metadata: t.Mapping[str, str]) -> None:
    for key, attribute in _OWNER.items():
        owner, expected = metadata.get(key), getattr(volume, attribute)
        if owner is not None and owner != expected:
            raise BackupError(
                f"The image of volume {volume} belongs to another claim: its metadata says {key} = {owner}. It was "
                "left out. If it was bound to this claim on purpose, correct the metadata with 'rbd image-meta set'."
            )


def _to_dict(proved: _Proved) -> dict[str, t.Any]:
    item, info = proved.item, proved.info
    return {
        **volume_to_dict(item.volume),
        "size": info.size if info else None,
        "features": list(info.features) if info else None,
        "object_size": info.object_size if info else None,
        "parent": info.parent if info else None,
        "users": list(item.users),
        "storage_class": item.storage_class,
        "persistent_volume": item.persistent_volume,
        "form": item.form,
    }


def _leave_out(resolution: Resolution, skips: t.Iterable[Skip]) -> None:
    resolution.skipped += [dataclasses.asdict(skip) for skip in skips]


def _problem(resolution: Resolution, message: str, **where: str) -> None:
    resolution.problems.append(
        {"namespace": None, "workload": None, "claim": None, **where, "message": message}
    )


def _warning(skipped: t.Mapping[str, t.Any]) -> str:
    return f"Not backed up: claim {skipped['namespace']}/{skipped['claim']}: {skipped['reason']}."


def _fatal(problems: t.Sequence[t.Mapping[str, t.Any]]) -> str:
    lines = [f"{len(problems)} problem(s) with the configured workloads; strict is set, so nothing goes on."]
    return "\n".join(lines + [str(problem["message"]) for problem in problems])
