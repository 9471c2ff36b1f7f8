# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster of recorded objects, behind the fake API server."""

from __future__ import annotations

import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.resolve import Resolution, resolve
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._kubernetes.scripted_api import (
    Answer,
    Asked,
    ScriptedApi,
    list_of,
    status,
)

Object = dict[str, t.Any]
CLASS = "block"


def meta(
    name: str, namespace: str | None = "shop", owner: tuple[str, str] | None = None, **rest: t.Any
) -> Object:
    found: Object = {"name": name, "uid": f"uid-{namespace}-{name}", **rest}
    if namespace is not None:
        found["namespace"] = namespace
    if owner:
        kind, owner_name = owner
        uid = f"uid-{namespace}-{owner_name}"
        found["ownerReferences"] = [{"kind": kind, "name": owner_name, "uid": uid, "controller": True}]
    return found


def mounting(*claims: str, **volumes: Object) -> Object:
    named = [{"name": claim, "persistentVolumeClaim": {"claimName": claim}} for claim in claims]
    return {"volumes": named + [{"name": name, **source} for name, source in volumes.items()]}


class Recorded:
    """A cluster of recorded objects."""

    def __init__(self) -> None:
        self.objects: dict[str, list[Object]] = {
            "/apis/storage.k8s.io/v1/storageclasses": [{"metadata": meta(CLASS, None), "provisioner": "x"}]
        }
        self.answers: dict[str, Answer] = {}

    def put(self, kind: str, item: Object) -> Object:
        group = "/apis/apps/v1" if kind.endswith("sets") or kind == "deployments" else "/api/v1"
        namespace = item["metadata"].get("namespace")
        path = f"{group}/namespaces/{namespace}/{kind}" if namespace else f"{group}/{kind}"
        self.objects.setdefault(path, []).append(item)
        return item

    def deployment(self, name: str, spec: Object, namespace: str = "shop", **rest: t.Any) -> None:
        selector = {"matchLabels": {"app": name}}
        item = {
            "metadata": meta(name, namespace, **rest),
            "spec": {"selector": selector, "template": {"spec": spec}},
        }
        self.put("deployments", item)

    def pod(self, name: str, spec: Object, owner: tuple[str, str] | None, **rest: t.Any) -> None:
        self.put("pods", {"metadata": meta(name, owner=owner, **rest), "spec": spec})

    def claim(
        self, name: str, namespace: str = "shop", storage_class: str = CLASS, **changes: t.Any
    ) -> Object:
        """A claim bound to a static volume of ceph-csi called as the claim."""
        metadata = meta(name, namespace, **changes.pop("metadata", {}))
        volume_name = f"pv-{namespace}-{name}"
        spec = {"storageClassName": storage_class, "volumeName": volume_name}
        source = changes.pop("source", None) or {
            "csi": {
                "driver": "rbd.csi.ceph.com",
                "volumeHandle": f"image-{namespace}-{name}",
                "volumeAttributes": {"pool": "fast", "staticVolume": "true", "clusterID": "ceph"},
            }
        }
        reference = {
            "namespace": namespace,
            "name": name,
            "uid": metadata["uid"],
            **changes.pop("reference", {}),
        }
        if changes.pop("volume", True):
            volume = {"metadata": meta(volume_name, None), "spec": {"claimRef": reference, **source}}
            self.put("persistentvolumes", volume)
        item = {"metadata": metadata, "spec": spec, "status": {"phase": changes.pop("phase", "Bound")}}
        assert not changes
        return self.put("persistentvolumeclaims", item)

    def resolve(self, *workloads: Object, storage_classes: t.Sequence[str] = (CLASS,)) -> Resolution:
        with ScriptedApi(self._answer).running() as api:
            result = resolve(api.cluster(sleep=lambda _seconds: None), workloads, storage_classes)
            assert result.requests == len(api.asked)
            assert len({asked.path for asked in api.asked}) == len(api.asked) or self.answers
        return result

    def _answer(self, asked: Asked) -> Answer:
        if asked.path in self.answers:
            return self.answers[asked.path]
        namespaces = {path.split("/")[4] for path in self.objects if path.startswith("/api/v1/namespaces/")}
        if asked.path.startswith("/api/v1/namespaces/") and asked.path.count("/") == 4:
            there = asked.path.split("/")[4] in namespaces
            return Answer({"kind": "Namespace"}) if there else status(404, "not found")
        return list_of(*self.objects.get(asked.path, []))


def named(*names: str, namespace: str = "shop") -> Object:
    return {"namespace": namespace, "deployments": list(names)}


def claims(result: Resolution) -> list[str]:
    return [f"{item.volume.namespace}/{item.volume.claim}" for item in result.volumes]


def reasons(result: Resolution) -> dict[str, str]:
    return {item["claim"] or item["volume"]: item["reason"] for item in result.skipped}


def messages(result: Resolution) -> str:
    return "\n".join(item["message"] for item in result.problems)
