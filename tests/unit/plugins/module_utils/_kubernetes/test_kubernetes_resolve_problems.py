# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What cannot be found or read, over recorded objects: all of it is collected, and none of it stops the rest."""

from __future__ import annotations

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import InvalidInput, KubernetesError
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._kubernetes.recorded import (
    Object,
    Recorded,
    claims,
    messages,
    mounting,
    named,
)
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._kubernetes.scripted_api import (
    Answer,
    status,
)


def test_missing_workloads_and_namespaces_stop_nobody(recorded: Recorded) -> None:
    recorded.deployment("web", mounting("data"))
    recorded.claim("data")
    result = recorded.resolve(named("web", "renamed", "deployment/db"), named("x", "y", namespace="no-such"))
    assert claims(result) == ["shop/data"]
    assert [(item["namespace"], item["workload"]) for item in result.problems] == [
        ("shop", "renamed"),
        ("shop", "deployment/db"),
        ("no-such", None),
    ]
    assert "There is no Deployment or StatefulSet 'renamed'. What there is: deployment/web." in messages(
        result
    )
    assert "The namespace no-such does not exist. Asked for in it: x, y." in messages(result)


def test_a_namespace_that_may_not_be_looked_at_is_a_problem_even_if_all_of_it_was_wanted(
    recorded: Recorded,
) -> None:
    recorded.answers["/api/v1/namespaces/empty"] = status(403, "no leave")
    result = recorded.resolve({"namespace": "empty", "deployments": "all"})
    assert "or it does not exist" in messages(result)


def test_an_empty_namespace_that_was_wanted_whole_is_no_problem(recorded: Recorded) -> None:
    recorded.answers["/api/v1/namespaces/empty"] = Answer({"kind": "Namespace"})
    assert recorded.resolve({"namespace": "empty", "deployments": "all"}).problems == []


@pytest.mark.parametrize("kind", ["deployments", "statefulsets", "persistentvolumeclaims"])
@pytest.mark.parametrize("answer", [status(403, "no leave"), status(500, "broken")])
def test_a_namespace_that_cannot_be_read_stops_no_other(
    recorded: Recorded, kind: str, answer: Answer
) -> None:
    for namespace in ("a", "b"):
        recorded.deployment("web", mounting("data"), namespace)
        recorded.claim("data", namespace)
    group = "/api/v1" if kind.startswith("pers") else "/apis/apps/v1"
    recorded.answers[f"{group}/namespaces/a/{kind}"] = answer
    result = recorded.resolve(named("web", namespace="a"), named("web", namespace="b"))
    assert claims(result) == ["b/data"]
    assert [item["namespace"] for item in result.problems] == ["a"]
    assert f"namespaces/a/{kind}" in messages(result)


@pytest.mark.parametrize("kind", ["pods", "replicasets"])
def test_without_its_pods_a_workload_is_known_by_its_template(recorded: Recorded, kind: str) -> None:
    recorded.deployment("web", mounting("data"))
    recorded.pod("web-1-a", mounting("data"), ("ReplicaSet", "web-1"))
    recorded.claim("data")
    group = "/api/v1" if kind == "pods" else "/apis/apps/v1"
    recorded.answers[f"{group}/namespaces/shop/{kind}"] = status(403, "no leave")
    result = recorded.resolve(named("web"))
    assert claims(result) == ["shop/data"]
    assert f"/{kind} (403)" in messages(result)


def test_without_leave_to_list_persistent_volumes_there_is_one_problem(recorded: Recorded) -> None:
    for namespace in ("a", "b"):
        recorded.deployment("web", mounting("data", tmp={"emptyDir": {}}), namespace)
        recorded.claim("data", namespace)
    recorded.answers["/api/v1/persistentvolumes"] = status(403, "no leave")
    result = recorded.resolve(named("web", namespace="a"), named("web", namespace="b"))
    assert result.volumes == []
    assert len(result.problems) == 1
    assert [item["namespace"] for item in result.skipped] == ["a", "b"]


def test_without_leave_to_list_storage_classes_volumes_lack_only_theirs(recorded: Recorded) -> None:
    recorded.deployment("web", mounting("data"))
    recorded.claim("data")
    assert set(recorded.resolve(named("web")).volumes[0].volume.manifests) == {
        "claim",
        "persistent_volume",
        "storage_class",
    }
    recorded.answers["/apis/storage.k8s.io/v1/storageclasses"] = status(403, "no leave")
    result = recorded.resolve(named("web"))
    assert set(result.volumes[0].volume.manifests) == {"claim", "persistent_volume"}
    assert "storageclasses" in messages(result)


@pytest.mark.parametrize("answer", [status(401, "who are you"), Answer(None)])
def test_a_server_that_cannot_be_asked_is_an_error(recorded: Recorded, answer: Answer) -> None:
    recorded.answers["/apis/apps/v1/namespaces/shop/deployments"] = answer
    with pytest.raises(KubernetesError):
        recorded.resolve(named("web"))


@pytest.mark.parametrize(
    "workloads",
    [
        [],
        [{"deployments": ["web"]}],
        [{"namespace": "", "deployments": ["web"]}],
        [{"namespace": "a/b", "deployments": ["web"]}],
        [{"namespace": "shop"}],
        [{"namespace": "shop", "deployments": []}],
        [{"namespace": "shop", "deployments": [""]}],
        [{"namespace": "shop", "deployments": "web"}],
        [{"namespace": "shop", "deployments": {}}],
        [{"namespace": "shop", "deployments": {"matchLabel": {}}}],
        [{"namespace": "shop", "deployments": {"matchLabels": {"backup": True}}}],
        [{"namespace": "shop", "deployments": {"matchLabels": ["backup"]}}],
        [{"namespace": "shop", "deployments": {"matchExpressions": {"key": "a"}}}],
        [{"namespace": "shop", "deployments": {"matchExpressions": [{"operator": "Exists"}]}}],
        [{"namespace": "shop", "deployments": {"matchExpressions": [{"key": "a", "operator": "Has"}]}}],
        [{"namespace": "shop", "deployments": {"matchExpressions": [{"key": "a", "operator": "In"}]}}],
        [{"namespace": "shop", "deployments": ["web"], "statefulsets": ["db"]}],
        [{"namespace": "shop", "deployments": {"matchLabels": {"a": "b"}}}] * 2,
    ],
)
def test_an_inventory_that_cannot_be_read_is_refused_before_anything_is_asked(
    recorded: Recorded, workloads: list[Object]
) -> None:
    with pytest.raises(InvalidInput):
        recorded.resolve(*workloads)


def test_no_storage_class_is_refused(recorded: Recorded) -> None:
    with pytest.raises(InvalidInput, match="storage_classes"):
        recorded.resolve(named("web"), storage_classes=[])
