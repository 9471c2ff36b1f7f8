# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole resolution over recorded objects: what the lab's API server cannot store, and what it costs.

``spec.ordinals`` is such a thing: the lab's Kubernetes is older.
"""

from __future__ import annotations

from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._kubernetes.recorded import (
    CLASS,
    Recorded,
    claims,
    messages,
    meta,
    mounting,
    named,
    reasons,
)


def test_a_volume_of_several_workloads_appears_once_with_all_its_users(recorded: Recorded) -> None:
    recorded.deployment("web", mounting("shared", "own"))
    recorded.deployment("worker", mounting("shared"))
    for name in ("shared", "own", "of-nobody"):
        recorded.claim(name)
    result = recorded.resolve(named("web", "worker"))
    assert [(item.volume.claim, item.users) for item in result.volumes] == [
        ("own", ("deployment/web",)),
        ("shared", ("deployment/web", "deployment/worker")),
    ]
    found = result.volumes[0]
    assert found.volume.spec == ImageSpec("fast", "", "image-shop-own")
    assert found.volume.identity is None
    assert (found.storage_class, found.persistent_volume, found.form) == (
        CLASS,
        "pv-shop-own",
        "ceph-csi-static",
    )
    assert (result.skipped, result.problems) == ([], [])


def test_every_list_is_read_once(recorded: Recorded) -> None:
    for namespace in ("a", "b"):
        for name in ("x", "y"):
            recorded.deployment(name, mounting(name), namespace)
            recorded.claim(name, namespace)
    result = recorded.resolve(
        named("x", "y", namespace="a"), named("x", namespace="b"), named("y", namespace="b")
    )
    assert claims(result) == ["a/x", "a/y", "b/x", "b/y"]
    # Of each namespace Deployments, StatefulSets, claims and pods; then persistent volumes and storage classes.
    assert result.requests == 2 * 4 + 2


def test_a_thousand_claims_in_twenty_namespaces_cost_few_requests(recorded: Recorded) -> None:
    namespaces = [f"n{number}" for number in range(20)]
    names = [f"c{number}" for number in range(50)]
    for namespace in namespaces:
        recorded.deployment("web", mounting(*names), namespace)
        recorded.put("pods", {"metadata": meta("web-1-a", namespace), "spec": mounting(*names)})
        for name in names:
            recorded.claim(name, namespace)
    result = recorded.resolve(*(named("web", namespace=namespace) for namespace in namespaces))
    assert len(result.volumes) == 1000
    assert result.requests == 20 * 5 + 2


def test_claims_of_pods_that_the_template_no_longer_names(recorded: Recorded) -> None:
    recorded.deployment("web", mounting("new"))
    recorded.put("replicasets", {"metadata": meta("web-1", owner=("Deployment", "web")), "spec": {}})
    recorded.pod("web-1-a", mounting("old"), ("ReplicaSet", "web-1"), labels={"app": "web"})
    recorded.pod("stranger", mounting("other"), ("ReplicaSet", "x"), labels={"app": "web"})
    for name in ("new", "old", "other"):
        recorded.claim(name)
    assert claims(recorded.resolve(named("web"))) == ["shop/new", "shop/old"]


def test_a_statefulset_with_ordinals(recorded: Recorded) -> None:
    spec = {
        "replicas": 2,
        "ordinals": {"start": 3},
        "selector": {"matchLabels": {"app": "db"}},
        "template": {"spec": {}},
        "volumeClaimTemplates": [{"metadata": {"name": "data"}}],
    }
    recorded.put("statefulsets", {"metadata": meta("db"), "spec": spec})
    for ordinal in (0, 3, 7):
        recorded.claim(f"data-db-{ordinal}")
    result = recorded.resolve(named("db"))
    assert claims(result) == ["shop/data-db-3", "shop/data-db-7"]
    (below,) = [item for item in result.skipped if "ordinals.start" in item["reason"]]
    assert (below["claim"], below["volume"], below["workload"]) == ("data-db-0", None, "statefulset/db")
    assert reasons(result)["data-db-4"] == "the claim does not exist"


def test_all_means_every_claim_of_the_namespace(recorded: Recorded) -> None:
    recorded.deployment("web", mounting("shared"))
    recorded.pod("job-1", mounting("shared", "of-a-job", scratch={"emptyDir": {}}), ("Job", "nightly"))
    recorded.pod("alone", mounting("of-a-pod"), None)
    for name in ("shared", "of-a-job", "of-a-pod", "of-nobody"):
        recorded.claim(name)
    recorded.claim("alone-tmp", metadata={"owner": ("Pod", "alone")})
    result = recorded.resolve({"namespace": "shop", "deployments": "all"})
    assert {item.volume.claim: item.users for item in result.volumes} == {
        "shared": ("deployment/web", "job/nightly"),
        "of-a-job": ("job/nightly",),
        "of-a-pod": ("pod/alone",),
        "of-nobody": (),
    }
    assert reasons(result) == {
        "scratch": "emptyDir: it is lost with its pod",
        "alone-tmp": "ephemeral claim: it is deleted with its pod alone",
    }
    assert result.problems == []


def test_a_label_selector_chooses_workloads(recorded: Recorded) -> None:
    recorded.deployment("web", mounting("web"), labels={"tier": "front"})
    recorded.deployment("worker", mounting("worker"), labels={"tier": "back"})
    recorded.claim("web")
    recorded.claim("worker")
    selector = {"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["back"]}]}
    assert claims(recorded.resolve({"namespace": "shop", "deployments": selector})) == ["shop/web"]
    result = recorded.resolve({"namespace": "shop", "deployments": {"matchLabels": {"tier": "none"}}})
    assert "has the labels asked for" in messages(result)
