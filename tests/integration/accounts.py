# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts with the rules of the examples, or with some of them, for one test."""

from __future__ import annotations

import json
import pathlib
import typing as t

import yaml

from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.client import Cluster, connect
from ansible_collections.rbd_backup.gfs.tests.integration.namespaces import LABEL, Namespace, Object

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"


def rules_of(file: str, kind: str) -> list[Object]:
    """The rules of the example *file* in its only object of *kind*, one for each verb."""
    return [
        rule | {"resources": [resource], "verbs": [verb]}
        for item in yaml.safe_load_all((EXAMPLES / file).read_text())
        if item["kind"] == kind
        for rule in item["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]


class Probe:
    """A ServiceAccount whose rules change; the API server hears of them with some delay."""

    def __init__(self, namespace: Namespace, host: str) -> None:
        self._namespace = namespace
        self.namespace = name = namespace.name
        account = {"kind": "ServiceAccount", "name": "probe", "namespace": name}
        namespace.apply(
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "probe", "namespace": name}},
            {
                **self._rbac("ClusterRoleBinding"),
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
                "subjects": [account],
            },
        )
        path = f"/api/v1/namespaces/{name}/serviceaccounts/probe/token"
        request = json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}})
        answer = json.loads(namespace.kubectl("create", "--raw", path, "-f", "-", stdin=request))
        self.token: str = answer["status"]["token"]
        self.options: dict[str, t.Any] = {"host": host, "api_key": self.token, "validate_certs": False}

    def allow(self, rules: t.Sequence[Object]) -> None:
        """Let the account do what *rules* say, and nothing else."""
        self._namespace.apply({**self._rbac("ClusterRole"), "rules": list(rules)})

    def connect(self) -> Cluster:
        """Kubernetes as this account, with nothing read yet."""
        return connect(self.options)

    def _rbac(self, kind: str) -> Object:
        metadata = {"name": self._namespace.name, "labels": {LABEL: self._namespace.name}}
        return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata}
