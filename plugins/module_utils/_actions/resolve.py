# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find the volumes behind the configured workloads, and prove their identity against Ceph where access is given."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.each_volume import (
    check_parallel,
    for_each_volume,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.environment import Environment, Outcome
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.volumes import volume_to_dict
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.rbd import RbdClient
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import BackupError
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.claims import ResolvedVolume
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.resolve import resolve
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Identity, Volume

# ceph-csi writes these into an image's metadata (its option --setmetadata, which Rook turns on).
_OWNER = {"csi.storage.k8s.io/pvc/namespace": "namespace", "csi.storage.k8s.io/pvc/name": "claim"}


def run(environment: Environment) -> Outcome:
    """Carry out the module ``k8s_rbd_resolve``. Raises InvalidInput and KubernetesError."""
    options = environment.options
    parallel = check_parallel(options)
    resolution = resolve(environment.cluster(), options["workloads"], options["storage_classes"])
    found, problems = resolution.volumes, list(resolution.problems)
    if options["ceph"] is not None and found:
        found, failures = _prove(found, environment.ceph(), parallel)
        problems += [
            {
                "namespace": item["namespace"],
                "workload": None,
                "claim": item["claim"],
                "message": item["message"],
            }
            for item in failures
        ]
    return Outcome(
        values={
            "volumes": [_to_dict(item) for item in found],
            # not "skipped": Ansible takes a result with that key for a task that was skipped
            "left_out": resolution.skipped,
            "problems": problems,
            "requests": resolution.requests,
        },
        warnings=[_warning(item) for item in resolution.skipped if item["warning"]],
        fatal=_fatal(problems) if options["strict"] and problems else None,
    )


def _prove(
    found: t.Sequence[ResolvedVolume], ceph: RbdClient, parallel: int
) -> tuple[list[ResolvedVolume], list[dict[str, t.Any]]]:
    """Ask Ceph for the identity of every volume. What cannot be proved is no volume but a problem."""
    by_volume = {id(item.volume): item for item in found}

    def prove(volume: Volume) -> ResolvedVolume:
        item = by_volume[id(volume)]
        identity = ceph.identity(volume.spec)
        _check_pool(item, identity)
        _check_owner(volume, ceph.metadata(volume.spec))
        return dataclasses.replace(item, volume=dataclasses.replace(volume, identity=identity))

    return for_each_volume([item.volume for item in found], prove, parallel)


def _check_pool(item: ResolvedVolume, identity: Identity) -> None:
    if item.pool_id is not None and item.pool_id != identity.pool_id:
        raise BackupError(
            f"The persistent volume {item.persistent_volume} says that volume {item.volume} is in the pool with id "
            f"{item.pool_id}, and Ceph says that pool {item.volume.spec.pool} has id {identity.pool_id}: it may be a "
            "volume of another Ceph cluster. It was left out."
        )


def _check_owner(volume: Volume, metadata: t.Mapping[str, str]) -> None:
    for key, attribute in _OWNER.items():
        owner, expected = metadata.get(key), getattr(volume, attribute)
        if owner is not None and owner != expected:
            raise BackupError(
                f"The image of volume {volume} belongs to another claim: its metadata says {key} = {owner}. It was "
                "left out. If it was bound to this claim on purpose, correct the metadata with 'rbd image-meta set'."
            )


def _to_dict(item: ResolvedVolume) -> dict[str, t.Any]:
    return {
        **volume_to_dict(item.volume),
        "users": list(item.users),
        "storage_class": item.storage_class,
        "persistent_volume": item.persistent_volume,
        "form": item.form,
    }


def _warning(skipped: t.Mapping[str, t.Any]) -> str:
    return f"Not backed up: claim {skipped['namespace']}/{skipped['claim']}: {skipped['reason']}."


def _fatal(problems: t.Sequence[t.Mapping[str, t.Any]]) -> str:
    lines = [f"{len(problems)} problem(s) with the configured workloads; strict is set, so nothing goes on."]
    return "\n".join(lines + [str(problem["message"]) for problem in problems])
