# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole resolution over recorded objects: what the lab's API server cannot store, and answers that it cannot give.

``spec.ordinals`` is such a thing: the lab's Kubernetes is older.
"""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import InvalidInput, KubernetesError
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.claims import (
    Skip,
    without_duplicates,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.resolve import Resolution, resolve
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec
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


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


def named(*names: str, namespace: str = "shop") -> Object:
    return {"namespace": namespace, "deployments": list(names)}


def claims(result: Resolution) -> list[str]:
    return [f"{item.volume.namespace}/{item.volume.claim}" for item in result.volumes]


def reasons(result: Resolution) -> dict[str, str]:
    return {item["claim"] or item["volume"]: item["reason"] for item in result.skipped}


def messages(result: Resolution) -> str:
    return "\n".join(item["message"] for item in result.problems)


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
    assert "ordinals.start" in reasons(result)["data-db-0"]
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


def test_what_is_not_backed_up_is_named_with_its_reason(recorded: Recorded) -> None:
    names = ["good", "pending", "lost", "gone", "no-volume", "other-class", "nfs"]
    recorded.deployment("web", mounting(*names, tmp={"emptyDir": {}}, config={"configMap": {}}))
    recorded.claim("good")
    recorded.claim("pending", phase="Pending", volume=False)
    recorded.claim("lost", phase="Lost", volume=False)
    recorded.claim("no-volume", volume=False)
    recorded.claim("other-class", storage_class="archive")
    recorded.claim("nfs", source={"nfs": {"server": "x"}})
    result = recorded.resolve(named("web"))
    assert claims(result) == ["shop/good"]
    assert reasons(result) == {
        "tmp": "emptyDir: it is lost with its pod",
        "pending": "the claim is Pending: no persistent volume is bound to it",
        "lost": "the claim is Lost: its persistent volume is gone",
        "gone": "the claim does not exist",
        "no-volume": "its persistent volume pv-shop-no-volume does not exist",
        "other-class": "its storage class is 'archive', which is not among those to be backed up",
        "nfs": "not an RBD image: the persistent volume is of kind nfs",
    }
    assert [item["claim"] for item in result.skipped if item["warning"]] == ["other-class"]
    assert all(item["workload"] == "deployment/web" for item in result.skipped)
    assert all(
        set(item) == {"namespace", "workload", "claim", "volume", "reason", "warning"}
        for item in result.skipped
    )
    assert result.problems == []


def test_a_class_that_is_not_wanted_hides_no_doubt(recorded: Recorded) -> None:
    source = {"csi": {"driver": "rbd.csi.ceph.com", "volumeHandle": "odd"}}
    recorded.deployment("web", mounting("a", "b"))
    recorded.claim("a", source=source)
    recorded.claim("b", source=source, storage_class="archive")
    result = recorded.resolve(named("web"))
    assert [item["claim"] for item in result.problems] == ["a"]
    assert [(item["claim"], item["warning"]) for item in result.skipped] == [("b", True)]


def test_claims_without_a_class(recorded: Recorded) -> None:
    recorded.deployment("web", mounting("none", "annotated"))
    recorded.claim("none", storage_class="")
    annotation = {"volume.beta.kubernetes.io/storage-class": CLASS}
    recorded.claim("annotated", storage_class="", metadata={"annotations": annotation})
    assert claims(recorded.resolve(named("web"), storage_classes=[""])) == ["shop/none"]
    assert claims(recorded.resolve(named("web"))) == ["shop/annotated"]
    assert claims(recorded.resolve(named("web"), storage_classes=["", CLASS])) == [
        "shop/annotated",
        "shop/none",
    ]


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ({"namespace": "bank"}, "which is bound to bank/data"),
        ({"name": "other"}, "which is bound to shop/other"),
        ({"uid": "earlier"}, "bound to an earlier claim"),
        ({"namespace": None, "name": None}, "bound to None/None"),
    ],
)
def test_nobody_gets_the_volume_of_somebody_else(recorded: Recorded, reference: Object, says: str) -> None:
    recorded.deployment("web", mounting("data"))
    recorded.claim("data", reference=reference)
    result = recorded.resolve(named("web"))
    assert result.volumes == []
    assert says in messages(result)
    assert result.problems[0]["claim"] == "data"


def image_of(cluster_id: str | None) -> Object:
    attributes = {"pool": "fast", "staticVolume": "true", **({"clusterID": cluster_id} if cluster_id else {})}
    return {"csi": {"driver": "rbd.csi.ceph.com", "volumeHandle": "one", "volumeAttributes": attributes}}


@pytest.mark.parametrize(("second", "is_problem"), [("ceph", False), (None, False), ("another", True)])
def test_an_image_behind_two_claims_is_backed_up_once(
    recorded: Recorded, second: str | None, is_problem: bool
) -> None:
    recorded.deployment("web", mounting("a", "b"))
    recorded.claim("a", source=image_of("ceph"))
    recorded.claim("b", source=image_of(second))
    result = recorded.resolve(named("web"))
    kept, skips, problems = without_duplicates(result.volumes, lambda item: item.volume.spec)
    assert [item.volume.claim for item in kept] == ["a"]
    if is_problem:
        ((namespace, claim, message),) = problems
        assert (namespace, claim, skips) == ("shop", "b", [])
        assert "shop/a and shop/b lead to images of the same name fast/one" in message
    else:
        reason = "its image fast/one is backed up as that of the claim shop/a"
        assert skips == [Skip("shop", reason, "deployment/web", "b")]
        assert problems == []


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


def test_a_storage_class_that_is_not_there_is_a_problem(recorded: Recorded) -> None:
    recorded.deployment("web", mounting("data"))
    recorded.claim("data")
    result = recorded.resolve(named("web"), storage_classes=[CLASS, "blcok"])
    assert claims(result) == ["shop/data"]
    assert messages(result) == "There is no StorageClass blcok, and no persistent volume names it."


def test_a_storage_class_that_was_deleted_while_its_volumes_live_on(recorded: Recorded) -> None:
    recorded.deployment("web", mounting("data"))
    recorded.claim("data", storage_class="old", source={"storageClassName": "old", **image_of("ceph")})
    result = recorded.resolve(named("web"), storage_classes=["old"])
    assert (claims(result), result.problems) == (["shop/data"], [])


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


def test_manifests_hold_what_a_bare_restore_needs(recorded: Recorded) -> None:
    recorded.deployment("web", mounting("data"))
    claim = recorded.claim("data")
    claim["metadata"].update(
        resourceVersion="7",
        managedFields=[{}],
        finalizers=["kubernetes.io/pvc-protection"],
        ownerReferences=[{"kind": "Shop", "name": "x", "uid": "x"}],
        labels={"app": "web"},
        annotations={
            "kubectl.kubernetes.io/last-applied-configuration": "{}",
            "pv.kubernetes.io/bind-completed": "yes",
            "volume.kubernetes.io/selected-node": "n1",
            "team": "shop",
        },
    )
    volume = recorded.objects["/api/v1/persistentvolumes"][0]
    volume["metadata"]["annotations"] = {"pv.kubernetes.io/provisioned-by": "rbd.csi.ceph.com"}
    volume["spec"]["claimRef"]["resourceVersion"] = "6"
    volume["status"] = {"phase": "Bound"}
    manifests = recorded.resolve(named("web")).volumes[0].volume.manifests
    assert manifests["claim"] == {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": "data",
            "namespace": "shop",
            "labels": {"app": "web"},
            "annotations": {"team": "shop"},
        },
        "spec": {"storageClassName": CLASS, "volumeName": "pv-shop-data"},
    }
    assert manifests["persistent_volume"]["metadata"] == {
        "name": "pv-shop-data",
        "annotations": {"pv.kubernetes.io/provisioned-by": "rbd.csi.ceph.com"},
    }
    assert manifests["persistent_volume"]["spec"]["claimRef"] == {"namespace": "shop", "name": "data"}
    assert "status" not in manifests["persistent_volume"]
    assert manifests["storage_class"] == {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": CLASS},
        "provisioner": "x",
    }
