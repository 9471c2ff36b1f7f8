#!/usr/bin/env python3
# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Play the provisioners of the lab's storage classes: ``provision.py NAMESPACE [CLAIM ...]``.

The lab has no CSI driver. For each claim (by default every pending claim of the namespace) this makes what
the class's provisioner would have made, and waits until the claim is bound:

- ``rook-ceph.rbd.csi.ceph.com`` (ceph-csi): image ``csi-vol-<uuid>`` with its metadata, and a CSI volume;
- ``ceph.rook.io/block`` (Rook before 1.5): an image named as its flexVolume volume;
- ``example.com/nfs``: a volume that has nothing to do with Ceph.

A claim that is bound is left alone. Claims named on the command line are waited for: the controller of a
StatefulSet makes them in its own time. With ``--remove`` the namespace goes, with the volumes and images made
for it, which is what their provisioners would do. Runs as the lab's administrator; RBD_LAB_DIR says where the
lab is.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import uuid
from typing import Any, Callable

LAB_DIR = os.environ.get("RBD_LAB_DIR", "/var/tmp/rbd_backup_gfs-lab")
CEPH_CONF = f"{LAB_DIR}/ceph/ceph.conf"
RBD = ["rbd", "-c", CEPH_CONF]
KUBECTL = [f"{LAB_DIR}/bin/kubectl", "--kubeconfig", f"{LAB_DIR}/kubernetes/admin.kubeconfig"]
CSI_PARAMETER = "csi.storage.k8s.io/"
UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "": 1}

Object = dict[str, Any]


def run(*argv: str, stdin: str | None = None) -> str:
    """Run a command and return its output; end with its own words when it fails."""
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(argv)}: {done.stderr.strip()}")
    return done.stdout


def get(*argv: str) -> Any:
    """Return an object, or a list of objects, of Kubernetes."""
    return json.loads(run(*KUBECTL, "get", "-o", "json", *argv))


def size_in_bytes(quantity: str) -> int:
    """Read a quantity of Kubernetes such as ``64Mi``."""
    number = quantity.rstrip("KMGTi")
    return int(number) * UNITS[quantity[len(number) :]]


def rados_namespace(cluster_id: str) -> str:
    """Return the RADOS namespace of *cluster_id* in ceph-csi's configuration ("" for the default one)."""
    config = get("configmap", "rook-ceph-csi-config", "--namespace", "rook-ceph")
    for cluster in json.loads(config["data"]["csi-cluster-config-json"]):
        if cluster["clusterID"] == cluster_id:
            return str(cluster.get("rbd", {}).get("radosNamespace", ""))
    sys.exit(f"clusterID {cluster_id} is not in the ConfigMap rook-ceph/rook-ceph-csi-config.")


def pool_id(pool: str) -> int:
    """Return the number that Ceph knows *pool* by."""
    pools = json.loads(run("ceph", "-c", CEPH_CONF, "osd", "pool", "ls", "detail", "--format", "json"))
    return next(int(entry["pool_id"]) for entry in pools if entry["pool_name"] == pool)


def create_image(spec: str, size: int, features: str, metadata: dict[str, str]) -> None:
    """Create an image, unless an interrupted run has, and its metadata."""
    known = subprocess.run([*RBD, "info", spec], capture_output=True, check=False)
    if known.returncode:
        argv = [part for feature in features.split(",") for part in ("--image-feature", feature)]
        run(*RBD, "create", spec, "--size", f"{size}B", *argv)
    for key, value in metadata.items():
        run(*RBD, "image-meta", "set", spec, key, value)


def ceph_csi(claim: Object, storage_class: Object, name: str, size: int) -> Object:
    """Make the image of a ceph-csi volume; return the volume's source."""
    parameters = storage_class["parameters"]
    cluster, pool = parameters["clusterID"], parameters["pool"]
    namespace = rados_namespace(cluster)
    # ceph-csi draws a random UUID; one made from the claim's lets an interrupted run be repeated.
    image_uuid = str(uuid.uuid5(uuid.UUID(claim["metadata"]["uid"]), "image"))
    image = f"csi-vol-{image_uuid}"
    metadata = {
        "csi.storage.k8s.io/pv/name": name,
        "csi.storage.k8s.io/pvc/name": claim["metadata"]["name"],
        "csi.storage.k8s.io/pvc/namespace": claim["metadata"]["namespace"],
    }
    create_image(
        "/".join(filter(None, (pool, namespace, image))), size, parameters["imageFeatures"], metadata
    )
    attributes = {key: value for key, value in parameters.items() if not key.startswith(CSI_PARAMETER)}
    attributes.update(imageName=image, journalPool=pool, pool=pool)
    attributes["storage.kubernetes.io/csiProvisionerIdentity"] = (
        f"1700000000000-8081-{storage_class['provisioner']}"
    )
    if namespace:
        attributes["radosNamespace"] = namespace

    def secret(role: str) -> dict[str, str]:
        return {part: parameters[f"{CSI_PARAMETER}{role}-secret-{part}"] for part in ("name", "namespace")}

    return {
        "csi": {
            "driver": storage_class["provisioner"],
            "fsType": parameters[CSI_PARAMETER + "fstype"],
            "volumeHandle": f"0001-{len(cluster):04x}-{cluster}-{pool_id(pool):016x}-{image_uuid}",
            "volumeAttributes": attributes,
            "controllerExpandSecretRef": secret("controller-expand"),
            "nodeStageSecretRef": secret("node-stage"),
        }
    }


def rook_flex(claim: Object, storage_class: Object, name: str, size: int) -> Object:
    """Make the image of a volume of Rook's flexVolume driver; return the volume's source."""
    parameters = storage_class["parameters"]
    create_image(f"{parameters['blockPool']}/{name}", size, "layering", {})
    options = {
        "clusterNamespace": parameters["clusterNamespace"],
        "dataBlockPool": parameters.get("dataBlockPool", ""),
        "image": name,
        "pool": parameters["blockPool"],
        "storageClass": storage_class["metadata"]["name"],
    }
    driver = f"ceph.rook.io/{parameters['clusterNamespace']}"
    return {"flexVolume": {"driver": driver, "fsType": parameters["fstype"], "options": options}}


def nfs(claim: Object, storage_class: Object, name: str, size: int) -> Object:
    """Return the source of a volume on a file server that does not exist."""
    return {"nfs": {"server": "nfs.example.com", "path": f"/export/{name}"}}


PROVISIONERS: dict[str, Callable[[Object, Object, str, int], Object]] = {
    "rook-ceph.rbd.csi.ceph.com": ceph_csi,
    "ceph.rook.io/block": rook_flex,
    "example.com/nfs": nfs,
}


def provision(claim: Object) -> None:
    """Make the volume of a pending *claim*, bound to it."""
    meta, spec = claim["metadata"], claim["spec"]
    storage_class = get("storageclass", spec["storageClassName"])
    provisioner = storage_class["provisioner"]
    name, capacity = f"pvc-{meta['uid']}", spec["resources"]["requests"]["storage"]
    source = PROVISIONERS[provisioner](claim, storage_class, name, size_in_bytes(capacity))
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": {"pv.kubernetes.io/provisioned-by": provisioner}},
        "spec": {
            "accessModes": spec["accessModes"],
            "capacity": {"storage": capacity},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "name": meta["name"],
                "namespace": meta["namespace"],
                "resourceVersion": meta["resourceVersion"],
                "uid": meta["uid"],
            },
            "persistentVolumeReclaimPolicy": storage_class["reclaimPolicy"],
            "storageClassName": spec["storageClassName"],
            "volumeMode": spec.get("volumeMode", "Filesystem"),
            **source,
        },
    }
    run(*KUBECTL, "apply", "--server-side", "-f", "-", stdin=json.dumps(volume))


def wait_for(namespace: str, names: set[str], phases: set[str], deadline: float) -> dict[str, Object]:
    """Return the claims in *names* (all of the namespace when empty), once they are in one of *phases*."""
    while True:
        claims = {item["metadata"]["name"]: item for item in get("pvc", "--namespace", namespace)["items"]}
        wanted = sorted(names or claims)
        late = [name for name in wanted if claims.get(name, {}).get("status", {}).get("phase") not in phases]
        if not late:
            return {name: claims[name] for name in wanted}
        if time.monotonic() > deadline:
            sys.exit(
                f"claims of {namespace} that are not {' or '.join(sorted(phases))} in time: {', '.join(late)}"
            )
        time.sleep(0.2)


def image_of(volume: Object) -> str:
    """Return the image behind a *volume* as ``pool[/namespace]/image``, or "" when there is none."""
    if "flexVolume" in volume["spec"]:
        options = volume["spec"]["flexVolume"]["options"]
        return f"{options['pool']}/{options['image']}"
    attributes = volume["spec"].get("csi", {}).get("volumeAttributes", {})
    return "/".join(attributes[key] for key in ("pool", "radosNamespace", "imageName") if key in attributes)


def remove(namespace: str, deadline: float) -> None:
    """Delete a namespace, its volumes, and their images with all snapshots, if they are there."""
    # What ends slowly goes first: a namespace that finds it still there looks again only after many seconds.
    kinds = "deployments,statefulsets,pods,persistentvolumeclaims"
    now = ("--force", "--grace-period=0", "--wait=false")
    run(*KUBECTL, "delete", kinds, "--all", "--namespace", namespace, *now)
    for volume in get("pv")["items"]:
        if volume["spec"].get("claimRef", {}).get("namespace") != namespace:
            continue
        image = image_of(volume)
        if image and not subprocess.run([*RBD, "info", image], capture_output=True, check=False).returncode:
            run(*RBD, "snap", "purge", "--no-progress", image)
            run(*RBD, "rm", "--no-progress", image)
        run(*KUBECTL, "delete", "pv", volume["metadata"]["name"], "--wait=false")
    run(*KUBECTL, "delete", "namespace", namespace, "--ignore-not-found", "--wait=false")
    while run(*KUBECTL, "get", "namespace", namespace, "--ignore-not-found"):
        if time.monotonic() > deadline:
            sys.exit(f"namespace {namespace} is still being deleted")
        time.sleep(0.2)


def main() -> None:
    """Do what the command line asks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("namespace")
    parser.add_argument("claim", nargs="*")
    parser.add_argument(
        "--timeout", type=float, default=60.0, help="seconds to wait for the claims (default: 60)"
    )
    parser.add_argument("--remove", action="store_true", help="delete the namespace and what was made for it")
    options = parser.parse_args()
    deadline = time.monotonic() + options.timeout
    if options.remove:
        remove(options.namespace, deadline)
        return
    claims = wait_for(options.namespace, set(options.claim), {"Pending", "Bound"}, deadline)
    for claim in claims.values():
        if claim["status"]["phase"] == "Pending":
            provision(claim)
    for claim in wait_for(options.namespace, set(claims), {"Bound"}, deadline).values() if claims else ():
        print(f"{options.namespace}/{claim['metadata']['name']}: {claim['spec']['volumeName']}")


if __name__ == "__main__":
    main()
