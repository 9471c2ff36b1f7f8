# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From workloads to their claims: what the controllers of the lab's Kubernetes make of them, in each state."""

from __future__ import annotations

from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.client import Cluster
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.resolve import resolve
from ansible_collections.rbd_backup.gfs.tests.integration.namespaces import Namespace
from ansible_collections.rbd_backup.gfs.tests.integration.sources import (
    BLOCK,
    POOL,
    images_of,
    named,
    static,
)


def test_a_statefulset_and_what_a_scale_down_leaves(namespace: Namespace, fresh: Cluster) -> None:
    namespace.workload("StatefulSet", "db", replicas=2, templates={"data": BLOCK, "log": "standard-other"})
    claims = ["data-db-0", "data-db-1", "log-db-0", "log-db-1"]
    namespace.wait_for_claims(*claims, phase="Pending")
    for claim in claims[:2]:
        namespace.volume(claim, BLOCK, static(f"{claim}-image"))
    for claim in claims[2:]:
        namespace.volume(claim, "standard-other", {"nfs": {"server": "nfs.example.com", "path": "/"}})
    namespace.wait_for_claims(*claims)
    namespace.claim("data-db-x", BLOCK, static("by-hand"))
    for replicas in (2, 0):
        namespace.kubectl("scale", "statefulset/db", "--namespace", namespace.name, f"--replicas={replicas}")
        namespace.wait_for_pods("db", replicas)
        fresh.cache.clear()  # what was read is kept for as long as a Cluster lives
        result = resolve(fresh, named(namespace, "db"), [BLOCK])
        assert images_of(result) == {claim: f"{POOL}/{claim}-image" for claim in claims[:2]}
        assert {item.users for item in result.volumes} == {("statefulset/db",)}
        assert {item["claim"]: item["reason"].split(":")[0] for item in result.skipped} == {
            "log-db-0": "not an RBD image",
            "log-db-1": "not an RBD image",
        }
        assert result.problems == []


def test_a_rollout_has_the_claims_of_old_and_new_pods(namespace: Namespace, fresh: Cluster) -> None:
    namespace.claim("old", BLOCK, static("old-image"))
    namespace.claim("new", BLOCK, static("new-image"))
    namespace.wait_for_claims("old", "new")
    namespace.workload("Deployment", "web", claims=["old"])
    namespace.wait_for_pods("web", 1)
    # The new pod never becomes ready, so the old one stays.
    namespace.workload("Deployment", "web", claims=["new"])
    namespace.wait_for_pods("web", 2)
    assert len(namespace.get("replicasets")) == 2
    result = resolve(fresh, named(namespace, "web"), [BLOCK])
    assert images_of(result) == {"old": f"{POOL}/old-image", "new": f"{POOL}/new-image"}


def test_overlapping_selectors_do_not_leak(namespace: Namespace, fresh: Cluster) -> None:
    for name in ("one", "two"):
        namespace.claim(name, BLOCK, static(f"{name}-image"))
        namespace.workload("Deployment", name, claims=[name], label="same")
    namespace.wait_for_claims("one", "two")
    namespace.wait_for_pods("same", 2)
    result = resolve(fresh, named(namespace, "one"), [BLOCK])
    assert images_of(result) == {"one": f"{POOL}/one-image"}
    both = resolve(fresh, named(namespace, "one", "two"), [BLOCK])
    assert {item.volume.claim: item.users for item in both.volumes} == {
        "one": ("deployment/one",),
        "two": ("deployment/two",),
    }


def test_everything_of_a_namespace(namespace: Namespace, fresh: Cluster) -> None:
    for name in ("used", "unused"):
        namespace.claim(name, BLOCK, static(f"{name}-image"))
    namespace.wait_for_claims("used", "unused")
    namespace.workload("Deployment", "web", replicas=0, claims=["used"])
    result = resolve(fresh, [{"namespace": namespace.name, "deployments": "all"}], [BLOCK])
    assert {item.volume.claim: item.users for item in result.volumes} == {
        "unused": (),
        "used": ("deployment/web",),
    }


def test_one_name_of_two_kinds_and_workloads_by_their_labels(namespace: Namespace, fresh: Cluster) -> None:
    for name in ("of-deployment", "of-statefulset"):
        namespace.claim(name, BLOCK, static(f"{name}-image"))
    namespace.wait_for_claims("of-deployment", "of-statefulset")
    namespace.workload("Deployment", "same", replicas=0, claims=["of-deployment"])
    namespace.workload("StatefulSet", "same", replicas=0, claims=["of-statefulset"], templates={})
    bare = resolve(fresh, named(namespace, "same"), [BLOCK])
    assert bare.volumes == []
    assert ["write deployment/same or statefulset/same" in item["message"] for item in bare.problems] == [
        True
    ]
    one = resolve(fresh, named(namespace, "statefulset/same"), [BLOCK])
    assert (images_of(one), one.problems) == ({"of-statefulset": f"{POOL}/of-statefulset-image"}, [])
    namespace.kubectl("label", "deployment/same", "backup=yes", "--namespace", namespace.name)
    fresh.cache.clear()
    wanted = [{"namespace": namespace.name, "deployments": {"matchLabels": {"backup": "yes"}}}]
    chosen = resolve(fresh, wanted, [BLOCK])
    assert (images_of(chosen), chosen.problems) == ({"of-deployment": f"{POOL}/of-deployment-image"}, [])
