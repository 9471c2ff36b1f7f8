# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A namespace of the lab's Kubernetes for one test, and what its administrator puts into it."""

from __future__ import annotations

import json
import subprocess
import typing as t
import uuid

from ansible_collections.rbd_backup.gfs.tests.integration.processes import eventually

Object = dict[str, t.Any]
WAIT = 120.0  # the lab's controllers write twenty times a second, for all tests together
LABEL = "rbd-backup-test"


class Namespace:
    """Makes objects; ``clear()`` removes them with the namespace and does not wait for it."""

    def __init__(self, kubeconfig: str) -> None:
        self.name = f"test-resolve-{uuid.uuid4().hex[:12]}"
        self._kubeconfig = kubeconfig
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name}})

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        """Run kubectl and return what it prints."""
        command = ["kubectl", "--kubeconfig", self._kubeconfig, *words]
        done = subprocess.run(command, input=stdin, check=False, capture_output=True, text=True)
        assert done.returncode == 0, f"kubectl {' '.join(words)}: {done.stderr}"
        return done.stdout

    def apply(self, *items: Object) -> None:
        """Create objects or change them."""
        self.kubectl(
            "apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        )

    def get(self, kind: str) -> list[Object]:
        """Return all objects of a kind in the namespace."""
        found: list[Object] = json.loads(self.kubectl("get", kind, "--namespace", self.name, "-o", "json"))[
            "items"
        ]
        return found

    def workload(self, kind: str, name: str, replicas: int = 1, **spec: t.Any) -> None:
        """Make a Deployment or StatefulSet whose pods are labelled ``app: <label>``, by default its name.

        ``claims`` and ``volumes`` are what its pods mount, ``templates`` its volumeClaimTemplates by name and class.
        """
        labels = {"app": spec.pop("label", name)}
        volumes = [
            {"name": claim, "persistentVolumeClaim": {"claimName": claim}} for claim in spec.pop("claims", ())
        ]
        volumes += spec.pop("volumes", [])
        template = {
            "metadata": {"labels": labels},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "containers": [
                    {"name": "main", "image": "docker.io/rbd-lab/pause:1", "imagePullPolicy": "Never"}
                ],
                "volumes": volumes,
            },
        }
        body: Object = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
        if kind == "StatefulSet":
            body.update(serviceName=name, podManagementPolicy="Parallel")
            body["volumeClaimTemplates"] = [
                {"metadata": {"name": key}, "spec": claim_spec(storage_class)}
                for key, storage_class in spec.pop("templates").items()
            ]
        assert not spec
        metadata = {"name": name, "namespace": self.name}
        self.apply({"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": body})

    def claim(self, name: str, storage_class: str, source: Object | None) -> str:
        """Make a claim and, with *source*, a persistent volume of that source for it. Returns the volume's name."""
        metadata = {"name": name, "namespace": self.name}
        claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata}
        self.apply({**claim, "spec": claim_spec(storage_class)})
        return self.volume(name, storage_class, source) if source is not None else ""

    def volume(self, claim: str, storage_class: str, source: Object) -> str:
        """Make a persistent volume for a claim. With the claim's uid, as a provisioner writes it, they are bound at
        once. Returns the volume's name."""
        uid = self.kubectl("get", "pvc", claim, "--namespace", self.name, "-o", "jsonpath={.metadata.uid}")
        metadata = {"name": f"{self.name}-{claim}", "labels": {LABEL: self.name}}
        reference = {"kind": "PersistentVolumeClaim", "namespace": self.name, "name": claim, "uid": uid}
        spec = {
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": "16Mi"},
            "claimRef": {"apiVersion": "v1", **reference},
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": storage_class,
            **source,
        }
        self.apply({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": metadata, "spec": spec})
        return str(metadata["name"])

    def wait_for_claims(self, *names: str, phase: str = "Bound") -> None:
        """Wait until the controller has brought the claims to *phase*."""

        def is_there() -> bool:
            phases = {claim["metadata"]["name"]: claim["status"].get("phase") for claim in self.get("pvc")}
            return all(phases.get(name) == phase for name in names)

        eventually(is_there, WAIT)

    def wait_for_pods(self, label: str, count: int) -> list[Object]:
        """Wait until there are *count* pods labelled ``app: <label>``, and return them."""
        found: list[Object] = []

        def is_there() -> bool:
            found[:] = [pod for pod in self.get("pods") if pod["metadata"]["labels"].get("app") == label]
            return len(found) == count

        eventually(is_there, WAIT)
        return found

    def clear(self) -> None:
        """Remove everything."""
        kinds = "deployments,statefulsets,pods,persistentvolumeclaims"
        now = ("--force", "--grace-period=0", "--wait=false")
        self.kubectl("delete", kinds, "--all", "--namespace", self.name, *now)
        self.kubectl("delete", "pv", "--selector", f"{LABEL}={self.name}", "--wait=false")
        self.kubectl("delete", "clusterrole,clusterrolebinding", "--selector", f"{LABEL}={self.name}")
        self.kubectl("delete", "namespace", self.name, "--wait=false")


def claim_spec(storage_class: str) -> Object:
    """Return the spec of a small claim."""
    return {
        "storageClassName": storage_class,
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "16Mi"}},
    }
