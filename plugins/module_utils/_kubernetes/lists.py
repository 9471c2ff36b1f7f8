# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists objects of one kind, whole: paged, begun anew when the server has forgotten where it was, read once a run."""

from __future__ import annotations

import typing as t
from urllib.parse import quote

from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import KubernetesError
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.client import Cluster, Query
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.shapes import OBJECT, fault

Object = dict[str, t.Any]

_GROUPS = {
    "deployments": "/apis/apps/v1",
    "replicasets": "/apis/apps/v1",
    "statefulsets": "/apis/apps/v1",
    "persistentvolumeclaims": "/api/v1",
    "persistentvolumes": "/api/v1",
    "pods": "/api/v1",
    "storageclasses": "/apis/storage.k8s.io/v1",
}
_RESTARTS = 3


def list_objects(cluster: Cluster, kind: str, namespace: str | None = None) -> list[Object]:
    """Return all objects of *kind* (plural, lower case) of a namespace or of the cluster; read once a Cluster.

    An error is remembered too: a list that was refused is not asked for again. Raises KubernetesError.
    """
    scope = f"/namespaces/{quote(namespace, safe='')}" if namespace is not None else ""
    path = f"{_GROUPS[kind]}{scope}/{kind}"
    if path not in cluster.cache:
        try:
            cluster.cache[path] = fetch(cluster, path)
        except KubernetesError as err:
            cluster.cache[path] = err
    answer = cluster.cache[path]
    if isinstance(answer, KubernetesError):
        raise answer
    return t.cast("list[Object]", answer)


def fetch(cluster: Cluster, path: str, query: Query = ()) -> list[Object]:
    """Return all objects of the list at *path*, page by page, asked for now. Raises KubernetesError."""
    for _attempt in range(_RESTARTS):
        try:
            return _fetch_pages(cluster, path, query)
        except KubernetesError as err:
            # 410 Gone: the continue token is older than what the server keeps. Half a list is no list.
            if err.details.get("kind") != "expired":
                raise
            error = err
    raise error


def _fetch_pages(cluster: Cluster, path: str, query: Query) -> list[Object]:
    found: list[Object] = []
    token = ""
    while True:
        page_query = [*query, ("limit", str(cluster.page_size))]
        if token:
            page_query.append(("continue", token))
        page = cluster.get(path, page_query)
        items = page.get("items") or []
        if not str(page.get("kind", "")).endswith("List") or not isinstance(items, list):
            raise KubernetesError(
                f"{cluster.host} answered GET {path} with {page.get('kind')!r} and not with a list.",
                kind="answer",
                path=path,
            )
        wrong = next(filter(None, (fault(item, OBJECT) for item in items)), "")
        if wrong:
            raise KubernetesError(
                f"{cluster.host} answered GET {path} with an object that is none of Kubernetes: {wrong}.",
                kind="answer",
                path=path,
            )
        found.extend(items)
        token = (page.get("metadata") or {}).get("continue") or ""
        if not token:
            return found
