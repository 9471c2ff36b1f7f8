# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a name to a workload, its pods and its claims."""

from __future__ import annotations

import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import InvalidInput, KubernetesError
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.workloads import (
    Workload,
    all_workloads,
    controller_of,
    find_workload,
    matches,
    mounts_of,
    pods_of,
)

Labels = dict[str, str]


def item(
    name: str, owner: tuple[str, str] | None = None, labels: Labels | None = None, **spec: t.Any
) -> dict[str, t.Any]:
    metadata: dict[str, t.Any] = {"name": name, "uid": f"uid-{name}", "labels": labels or {}}
    if owner:
        reference = {"kind": owner[0], "name": owner[1], "uid": f"uid-{owner[1]}", "controller": True}
        metadata["ownerReferences"] = [{"kind": "Other", "name": "x", "uid": "x"}, reference]
    return {"metadata": metadata, "spec": spec}


def workload(kind: str = "deployment", name: str = "web", **spec: t.Any) -> Workload:
    spec.setdefault("template", {"spec": {}})
    spec.setdefault("selector", {"matchLabels": {"app": name}})
    return Workload(kind, name, item(name, **spec))


def statefulset(*templates: str, name: str = "db", **spec: t.Any) -> Workload:
    claims = [{"metadata": {"name": template}} for template in templates]
    return workload("statefulset", name, volumeClaimTemplates=claims, **spec)


KEYS = st.sampled_from(["app", "tier", "zone"])
VALUES = st.sampled_from(["a", "b", "c"])
LABELS = st.dictionaries(KEYS, VALUES)
EXPRESSIONS = st.lists(
    st.fixed_dictionaries(
        {
            "key": KEYS,
            "operator": st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist"]),
            "values": st.lists(VALUES, min_size=1),
        }
    ),
    max_size=3,
)


@given(LABELS, EXPRESSIONS, LABELS)
def test_a_selector_selects_as_its_definition_says(
    wanted: Labels, expressions: list[t.Any], labels: Labels
) -> None:
    def holds(expression: t.Any) -> bool:
        value = labels.get(expression["key"])
        return {
            "In": value is not None and value in expression["values"],
            "NotIn": value is None or value not in expression["values"],
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }[expression["operator"]]

    expected = wanted.items() <= labels.items() and all(map(holds, expressions))
    assert matches({"matchLabels": wanted, "matchExpressions": expressions}, labels) is expected


@given(LABELS, EXPRESSIONS, LABELS)
def test_a_selector_selects_what_each_of_its_parts_does(
    wanted: Labels, expressions: list[t.Any], labels: Labels
) -> None:
    parts: list[dict[str, t.Any]] = [{"matchLabels": {key: value}} for key, value in wanted.items()]
    parts += [{"matchExpressions": [expression]} for expression in expressions]
    whole = {"matchLabels": wanted, "matchExpressions": expressions}
    assert matches(whole, labels) is all(matches(part, labels) for part in parts)


def test_no_selector_selects_nothing_and_an_empty_one_everything() -> None:
    assert not matches(None, {"app": "web"})
    assert matches({}, {"app": "web"})
    assert matches({"matchLabels": None, "matchExpressions": None}, None)


def test_an_unknown_operator_is_refused() -> None:
    with pytest.raises(InvalidInput, match="Gt"):
        matches({"matchExpressions": [{"key": "app", "operator": "Gt", "values": ["1"]}]}, {})


def test_find_workload() -> None:
    candidates = all_workloads([item("web"), item("both")], [item("db"), item("both")])
    assert str(find_workload("web", candidates)) == "deployment/web"
    assert str(find_workload("statefulset/db", candidates)) == "statefulset/db"
    assert str(find_workload("statefulset/both", candidates)) == "statefulset/both"
    with pytest.raises(KubernetesError, match="deployment/both or statefulset/both"):
        find_workload("both", candidates)
    with pytest.raises(KubernetesError, match=r"'gone'.*deployment/both, statefulset/both, statefulset/db"):
        find_workload("gone", candidates)
    with pytest.raises(KubernetesError, match="'deployment/db'"):
        find_workload("deployment/db", candidates)


def test_pods_need_the_labels_and_the_owner() -> None:
    web, shop = workload(name="web"), workload(name="shop", selector={"matchLabels": {"app": "web"}})
    replicasets = [
        item("web-1", ("Deployment", "web")),
        item("web-2", ("Deployment", "web")),
        item("shop-1", ("Deployment", "shop")),
    ]
    labels = {"app": "web"}
    pods = [
        item("web-1-a", ("ReplicaSet", "web-1"), labels),
        item("web-2-a", ("ReplicaSet", "web-2"), labels),
        item("relabelled", ("ReplicaSet", "web-1"), {"app": "other"}),
        item("shop-1-a", ("ReplicaSet", "shop-1"), labels),
        item("bare", None, labels),
        item("of-web-itself", ("Deployment", "web"), labels),
    ]
    assert [pod["metadata"]["name"] for pod in pods_of(web, replicasets, pods)] == ["web-1-a", "web-2-a"]
    assert [pod["metadata"]["name"] for pod in pods_of(shop, replicasets, pods)] == ["shop-1-a"]


def test_pods_of_a_statefulset_are_its_own() -> None:
    database = workload("statefulset", "db")
    pods = [
        item("db-0", ("StatefulSet", "db"), {"app": "db"}),
        item("db-x", ("ReplicaSet", "db"), {"app": "x"}),
    ]
    assert [pod["metadata"]["name"] for pod in pods_of(database, [], pods)] == ["db-0"]


def test_controller_of() -> None:
    assert controller_of(item("x", ("Job", "nightly"))) == "job/nightly"
    assert controller_of(item("x")) == "pod/x"


def claim_volume(name: str) -> dict[str, t.Any]:
    return {"name": f"v-{name}", "persistentVolumeClaim": {"claimName": name}}


def test_claims_are_those_of_the_template_and_of_the_pods() -> None:
    web = workload(template={"spec": {"volumes": [claim_volume("new"), claim_volume("both")]}})
    pods: list[dict[str, t.Any]] = [
        {"spec": {"volumes": [claim_volume("old"), claim_volume("both")]}},
        {"spec": {}},
    ]
    assert mounts_of(web, pods, set()).claims == ("both", "new", "old")


def test_everything_else_that_holds_data_is_named_with_its_reason() -> None:
    volumes = [
        {"name": "tmp", "emptyDir": {}},
        {"name": "bare"},
        {"name": "node", "hostPath": {"path": "/srv"}},
        {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {}}},
        {"name": "inline", "csi": {"driver": "secrets-store.csi.k8s.io"}},
        {"name": "image", "rbd": {"image": "legacy", "pool": "kube"}},
        {"name": "share", "nfs": {"server": "x"}},
        {"name": "config", "configMap": {"name": "x"}},
        {"name": "secret", "secret": {"secretName": "x"}},
        {"name": "token", "projected": {"sources": []}},
        {"name": "info", "downwardAPI": {"items": []}},
        {"name": "program", "image": {"reference": "x"}},
    ]
    found = mounts_of(
        workload(template={"spec": {"volumes": volumes}}), [{"spec": {"volumes": volumes}}], set()
    )
    assert found.claims == ()
    assert [name for name, _reason in found.others] == [
        "bare",
        "image",
        "inline",
        "node",
        "scratch",
        "share",
        "tmp",
    ]
    reasons = dict(found.others)
    assert "kube/legacy" in reasons["image"]
    assert "/srv" in reasons["node"]
    assert "nfs" in reasons["share"]


def test_claims_of_a_statefulset_that_is_scaled_to_zero() -> None:
    there = {
        "data-db-0",
        "data-db-1",
        "log-db-0",
        "data-db",
        "data-db-01",
        "data-db-x",
        "data-db-0-0",
        "x-data-db-0",
    }
    assert mounts_of(statefulset("data", "log", replicas=0), [], there).claims == (
        "data-db-0",
        "data-db-1",
        "log-db-0",
    )


def test_the_claims_that_replicas_should_have_are_named_even_if_they_are_not_there() -> None:
    assert mounts_of(statefulset("data", replicas=2), [], {"data-db-7"}).claims == (
        "data-db-0",
        "data-db-1",
        "data-db-7",
    )
    assert mounts_of(statefulset("data"), [], set()).claims == ("data-db-0",)


def test_ordinals_begin_where_the_statefulset_says() -> None:
    found = mounts_of(statefulset("data", replicas=2, ordinals={"start": 5}), [], {"data-db-4", "data-db-9"})
    assert found.claims == ("data-db-5", "data-db-6", "data-db-9")
    assert [name for name, _reason in found.strangers] == ["data-db-4"]
    assert "spec.ordinals.start (5)" in found.strangers[0][1]


@given(
    st.integers(0, 4),
    st.integers(0, 4),
    st.lists(st.sampled_from(["data-db", "data-db-web", "db-data", "data-db-1", "a.b"]), max_size=6),
    st.lists(st.integers(0, 9), max_size=6),
)
def test_no_claim_of_another_statefulset_is_taken(
    start: int, replicas: int, strangers: list[str], ordinals: list[int]
) -> None:
    own = {f"data-db-{ordinal}" for ordinal in ordinals}
    others = {f"{name}-{ordinal}" for name in strangers if name != "data-db" for ordinal in ordinals}
    found = mounts_of(statefulset("data", replicas=replicas, ordinals={"start": start}), [], own | others)
    expected = {
        f"data-db-{ordinal}" for ordinal in [*ordinals, *range(start, start + replicas)] if ordinal >= start
    }
    assert set(found.claims) == expected
