# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many claims in many namespaces, bound without the lab's controller: it writes twenty times a second for all tests."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import typing as t
import uuid

from kubernetes.client.rest import RESTClientObject

from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.configuration import (
    AuthOptions,
    load_configuration,
)
from ansible_collections.rbd_backup.gfs.tests.integration.namespaces import LABEL, Object, claim_spec

_WORKERS = 8
_PATCH = "application/merge-patch+json"


class ManyClaims:
    """*claims* of *namespaces* each, with one Deployment without pods that names all of a namespace's claims."""

    def __init__(self, admin_kubeconfig: str, namespaces: int, claims: int, storage_class: str) -> None:
        configuration = load_configuration(AuthOptions(kubeconfig=admin_kubeconfig))
        self._host = configuration.host
        configuration.connection_pool_maxsize = _WORKERS
        self._pool = RESTClientObject(configuration).pool_manager
        self._storage_class = storage_class
        self._label = f"many-{uuid.uuid4().hex[:8]}"
        self.namespaces = [f"test-{self._label}-{number:02}" for number in range(namespaces)]
        self.claims = [f"data-{number:03}" for number in range(claims)]

    @contextlib.contextmanager
    def made(self) -> t.Iterator[ManyClaims]:
        """Make everything; in the end let it go without waiting for it."""
        try:
            self._each(self._make_namespace, self.namespaces)
            self._each(self._bind, self._pairs())
            yield self
        finally:
            # Without finalizers they are gone before the controllers, slow as they are, have work with them.
            self._each(self._forget, self._pairs())
            self._each(lambda name: self._ask("DELETE", f"/api/v1/namespaces/{name}"), self.namespaces)

    def image(self, namespace: str, claim: str) -> str:
        """The name of a claim's image."""
        return f"{namespace}-{claim}"

    def _pairs(self) -> list[tuple[str, str]]:
        return [(namespace, claim) for namespace in self.namespaces for claim in self.claims]

    def _each(self, work: t.Callable[[t.Any], t.Any], items: t.Sequence[t.Any]) -> None:
        with concurrent.futures.ThreadPoolExecutor(_WORKERS) as workers:
            for _done in workers.map(work, items):
                pass

    def _make_namespace(self, name: str) -> None:
        self._ask("POST", "/api/v1/namespaces", {"metadata": {"name": name, "labels": {LABEL: self._label}}})
        volumes = [{"name": claim, "persistentVolumeClaim": {"claimName": claim}} for claim in self.claims]
        labels = {"app": "web"}
        template = {
            "metadata": {"labels": labels},
            "spec": {"containers": [{"name": "main", "image": "none"}], "volumes": volumes},
        }
        spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
        self._ask(
            "POST",
            f"/apis/apps/v1/namespaces/{name}/deployments",
            {"metadata": {"name": "web"}, "spec": spec},
        )

    def _bind(self, pair: tuple[str, str]) -> None:
        namespace, name = pair
        image = self.image(namespace, name)
        annotations = {
            "pv.kubernetes.io/bind-completed": "yes",
            "pv.kubernetes.io/bound-by-controller": "yes",
        }
        path = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims"
        spec = claim_spec(self._storage_class)
        claim = self._ask(
            "POST",
            path,
            {
                "metadata": {"name": name, "annotations": annotations},
                "spec": {**spec, "volumeName": image},
            },
        )
        reference = {
            "kind": "PersistentVolumeClaim",
            "apiVersion": "v1",
            "namespace": namespace,
            "name": name,
        }
        where = {"clusterID": "many", "pool": "not-in-this-ceph", "staticVolume": "true"}
        volume = {
            "accessModes": spec["accessModes"],
            "capacity": spec["resources"]["requests"],
            "claimRef": {**reference, "uid": claim["metadata"]["uid"]},
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": self._storage_class,
            "csi": {"driver": "rbd.csi.ceph.com", "volumeHandle": image, "volumeAttributes": where},
        }
        metadata = {"name": image, "labels": {LABEL: self._label}}
        self._ask("POST", "/api/v1/persistentvolumes", {"metadata": metadata, "spec": volume})
        self.mark_bound(namespace, name)
        self._ask("PATCH", f"/api/v1/persistentvolumes/{image}/status", {"status": {"phase": "Bound"}})

    def mark_bound(self, namespace: str, name: str) -> None:
        """Say that a claim is bound. A controller that saw it before its volume calls it lost for a while."""
        spec = claim_spec(self._storage_class)
        bound = {
            "phase": "Bound",
            "accessModes": spec["accessModes"],
            "capacity": spec["resources"]["requests"],
        }
        path = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{name}/status"
        self._ask("PATCH", path, {"status": bound})

    def _forget(self, pair: tuple[str, str]) -> None:
        namespace, name = pair
        for path in (
            f"/api/v1/persistentvolumes/{self.image(namespace, name)}",
            f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{name}",
        ):
            self._ask("DELETE", path, may_be_gone=True)
            self._ask("PATCH", path, {"metadata": {"finalizers": None}}, may_be_gone=True)

    def _ask(self, verb: str, path: str, body: Object | None = None, may_be_gone: bool = False) -> Object:
        kind = _PATCH if verb == "PATCH" else "application/json"
        answer = self._pool.request(
            verb,
            self._host + path,
            body=None if body is None else json.dumps(body),
            headers={"Content-Type": kind},
        )
        good = answer.status < 300 or (may_be_gone and answer.status == 404)
        assert good, f"{verb} {path}: {answer.status} {answer.data[:500]!r}"
        found: Object = json.loads(answer.data)
        return found
