# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The persistent volume and the claim for a restored image, in the lab's Kubernetes."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions import restore, restore_image
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.restore_image import WAITING
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.client import Cluster
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec
from ansible_collections.rbd_backup.gfs.tests.integration import history
from ansible_collections.rbd_backup.gfs.tests.integration.accounts import Probe, rules_of
from ansible_collections.rbd_backup.gfs.tests.integration.conftest import Lab
from ansible_collections.rbd_backup.gfs.tests.integration.images import MIB, Images
from ansible_collections.rbd_backup.gfs.tests.integration.modules import Modules, volume
from ansible_collections.rbd_backup.gfs.tests.integration.namespaces import LABEL, Namespace, Object
from ansible_collections.rbd_backup.gfs.tests.integration.processes import eventually


def manifests(claim: str, spec: ImageSpec, namespace: str) -> Object:
    """What k8s_rbd_resolve records of a volume of ceph-csi."""
    csi = {
        "driver": "rook-ceph.rbd.csi.ceph.com",
        "volumeHandle": "0001-0009-rook-ceph-0000000000000001-5f1b4c3e-1d1a-4b5e-9a55-0a58a9feac02",
        "fsType": "ext4",
        "nodeStageSecretRef": {"name": "rook-csi-rbd-node", "namespace": "rook-ceph"},
        "volumeAttributes": {"clusterID": "rook-ceph", "pool": spec.pool, "imageFeatures": "layering"},
    }
    shape = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "rook-ceph-block",
        "volumeMode": "Filesystem",
    }
    return {
        "claim": {
            "metadata": {"name": claim, "namespace": namespace, "labels": {"app": "db"}},
            "spec": shape,
        },
        "persistent_volume": {"metadata": {"name": "pvc-1"}, "spec": {**shape, "csi": csi}},
    }


def backed_up(modules: Modules, images: Images, *claims: str) -> None:
    """Back up volumes of ceph-csi, by default the one of claim ``data-0``."""
    entries = []
    for claim in claims or ("data-0",):
        spec = images.create(history.SIZE)
        history.age(images, spec, range(1))
        entry = {**volume(spec, claim), "users": ["statefulset/db"]}
        entries.append({**entry, "manifests": manifests(claim, spec, "shop")})
    modules.run(
        "rbd_export_diff", volumes=entries, root=str(modules.root), cluster="lab", init=True, timezone="UTC"
    )


def wanted(namespace: Namespace, **options: object) -> Object:
    """The option ``manifests`` for a claim and a volume of this test."""
    return {
        "namespace": namespace.name,
        "claim": "again",
        "persistent_volume": f"{namespace.name}-again",
        "apply": True,
        **options,
    }


def labelled(namespace: Namespace) -> None:
    """Have the volume removed after the test."""
    namespace.kubectl("label", "pv", f"{namespace.name}-again", f"{LABEL}={namespace.name}")


def test_a_static_volume_and_its_claim_are_validated_applied_and_bound(
    modules: Modules, images: Images, namespace: Namespace, lab: Lab, tmp_path: pathlib.Path
) -> None:
    backed_up(modules, images)
    target, file = images.name(), tmp_path / "manifests.json"
    options = {"kubeconfig": lab.admin_kubeconfig, "manifests": {"claim": "again", "apply": True}}
    nowhere = modules.restore(
        target, **{**options, "manifests": {"namespace": "no-such-place", "apply": True}}
    )
    assert "no-such-place" in nowhere["msg"]
    assert images.left_of(target) == []
    options["manifests"] = wanted(namespace, file=str(file))
    preview = modules.restore(target, check_mode=True, **options)
    assert len(preview["manifests"]) == 2, preview
    assert namespace.get("pvc") == []
    result = modules.restore(target, **options)
    assert "failed" not in result, result
    assert json.loads(file.read_text())["items"] == result["manifests"]
    labelled(namespace)
    namespace.wait_for_claims("again")
    namespace.kubectl("apply", "--dry-run=server", "--validate=true", "-f", str(file))
    (made,) = namespace.get("pvc")
    assert made["status"]["capacity"]["storage"] == str(history.SIZE)
    resolved = modules.run(
        "k8s_rbd_resolve",
        workloads=[{"namespace": namespace.name, "deployments": "all"}],
        storage_classes=["rook-ceph-block"],
    )
    (found,) = resolved["volumes"]
    assert (found["pool"], found["image"]) == (target.pool, target.image)
    file.unlink()
    again = modules.restore(images.name(), **options)
    assert "cannot be created" in again["msg"]
    assert "Nothing was touched" in again["msg"]


def test_objects_of_one_name_for_several_volumes_are_refused(modules: Modules, images: Images) -> None:
    backed_up(modules, images, "data-0", "data-1")
    place = {"image": f"{images.name().image}-{{claim}}"}
    chosen = {"workload": "statefulset/db", "check_mode": True}
    refused = modules.restore_to(place, manifests={"claim": "again"}, **chosen)
    assert "More than one volume would become PersistentVolumeClaim shop/again" in refused["msg"]
    assert "placeholder such as {claim}" in refused["msg"]
    made = modules.restore_to(place, manifests={"claim": "again-{claim}"}, **chosen)["volumes"]
    assert [entry["manifests"][1]["metadata"]["name"] for entry in made] == ["again-data-0", "again-data-1"]


RULES = rules_of("rbac-restore.yaml", "ClusterRole")


@pytest.mark.parametrize(
    "rule", [None, *RULES], ids=lambda rule: rule["resources"][0] if rule else "all rules"
)
def test_every_rule_for_applying_is_needed_and_named(
    modules: Modules, images: Images, namespace: Namespace, cluster: Cluster, rule: Object | None
) -> None:
    backed_up(modules, images)
    target = images.name()
    probe = Probe(namespace, cluster.host)
    probe.allow([other for other in RULES if other is not rule])
    options = {**probe.options, "kubeconfig": None, "manifests": wanted(namespace)}

    def message() -> str:
        return str(modules.restore(target, check_mode=True, **options).get("msg", ""))

    if rule is None:
        eventually(lambda: not message())  # the API server hears of new rules with some delay
        assert modules.restore(target, **options)["changed"]
        labelled(namespace)
        namespace.wait_for_claims("again")
        return
    kind = {"persistentvolumes": "PersistentVolume", "persistentvolumeclaims": "PersistentVolumeClaim"}
    eventually(lambda: f"{kind[rule['resources'][0]]} {namespace.name}" in message())
    refused = modules.restore(target, **options)
    for words in ("cannot be created", "(403)", "examples/rbac-restore.yaml", "Nothing was touched"):
        assert words in refused["msg"]
    assert not refused["changed"]
    assert images.left_of(target) == []


def restored_after_all(modules: Modules, images: Images, target: ImageSpec, **options: t.Any) -> None:
    """The same restore, run again, finishes without anything having been cleaned up."""
    number = json.loads(images.rbd(target, "info", "--format", "json"))["id"]
    preview = modules.restore(target, check_mode=True, **options)
    assert preview["resumed"], preview
    result = modules.restore(target, **options)
    assert "failed" not in result, result
    assert (result["resumed"], result["overwritten"]) == (True, False)
    assert result["image_digest"] == result["image_digest_on_record"]
    assert json.loads(images.rbd(target, "info", "--format", "json"))["id"] == number
    assert WAITING not in images.metadata(target)
    assert "Nothing was touched" in modules.restore(target, **options)["msg"]


@pytest.mark.parametrize("kind", ["PersistentVolumeClaim", "PersistentVolume"])
def test_an_object_that_comes_between_is_told_and_the_next_run_finishes_once_it_is_gone(
    modules: Modules,
    images: Images,
    namespace: Namespace,
    lab: Lab,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    backed_up(modules, images)
    target = images.name()
    options = {"kubeconfig": lab.admin_kubeconfig, "manifests": wanted(namespace)}
    create = Cluster.create

    def late(cluster: Cluster, path: str, item: Object, dry_run: bool = False) -> Object:
        if not dry_run and item["kind"] == kind == "PersistentVolumeClaim":
            namespace.claim("again", "rook-ceph-block", None)
        elif not dry_run and item["kind"] == kind:
            other = {"claimRef": {"namespace": namespace.name, "name": "other"}}
            namespace.apply({**item, "spec": {**item["spec"], **other}})
            labelled(namespace)
        return create(cluster, path, item, dry_run)

    with monkeypatch.context() as patch:
        patch.setattr(Cluster, "create", late)
        result = modules.restore(target, **options)
    assert result["failed"]
    assert result["changed"]
    assert f"{kind} {namespace.name}" in result["msg"]
    assert "The image is restored and complete" in result["msg"]
    made = "none" if kind == "PersistentVolumeClaim" else f"PersistentVolumeClaim {namespace.name}/again"
    assert f"of its objects {made} was created" in result["msg"]
    assert images.left_of(target) == [target.image]
    again = modules.restore(target, **options)
    assert "Nothing was touched" in again["msg"], "the object is still somebody else's"
    name = "again" if kind == "PersistentVolumeClaim" else f"{namespace.name}-again"
    namespace.kubectl("delete", kind, name, "--namespace", namespace.name)
    restored_after_all(modules, images, target, **options)
    labelled(namespace)
    namespace.wait_for_claims("again")


def test_what_the_api_refuses_once_the_image_is_restored_leaves_no_volume_and_is_made_by_the_next_run(
    modules: Modules, images: Images, namespace: Namespace, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    backed_up(modules, images)
    target = images.name()
    probe = Probe(namespace, cluster.host)
    probe.allow(RULES)
    options = {**probe.options, "kubeconfig": None, "manifests": wanted(namespace)}
    eventually(lambda: "msg" not in modules.restore(target, check_mode=True, **options))
    fill = restore_image._fill

    def fill_and_forbid(*args: t.Any) -> str:
        digest = fill(*args)
        probe.allow([rule for rule in RULES if "persistentvolumeclaims" not in rule["resources"]])
        eventually(
            lambda: "403" in str(modules.restore(images.name(), check_mode=True, **options).get("msg"))
        )
        return digest

    with monkeypatch.context() as patch:
        patch.setattr(restore_image, "_fill", fill_and_forbid)
        result = modules.restore(target, **options)
    assert "examples/rbac-restore.yaml" in result["msg"]
    assert "of its objects none was created" in result["msg"]
    assert result["changed"]
    assert namespace.kubectl("get", "pv", f"{namespace.name}-again", "--ignore-not-found") == ""
    probe.allow(RULES)
    eventually(lambda: "msg" not in modules.restore(target, check_mode=True, **options))
    restored_after_all(modules, images, target, **options)
    labelled(namespace)
    namespace.wait_for_claims("again")


def test_a_kill_before_the_objects_are_made_is_finished_by_the_next_run_unless_the_image_was_changed(
    modules: Modules, images: Images, namespace: Namespace, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    backed_up(modules, images)
    target = images.name()
    options = {"kubeconfig": lab.admin_kubeconfig, "manifests": wanted(namespace)}

    def die() -> None:
        monkeypatch.setattr(restore, "apply_manifests", lambda *_args: os.kill(os.getpid(), signal.SIGKILL))

    assert modules.run_and_die(lambda: modules.restore(target, **options), die)
    assert images.left_of(target) == [target.image]
    images.change(target, ("write", 0, MIB, 5))
    eventually(lambda: "has been changed since" in str(modules.restore(target, **options).get("msg")))
    images.rbd(target, "rm", "--no-progress")
    assert modules.run_and_die(lambda: modules.restore(target, **options), die)
    restored_after_all(modules, images, target, **options)
    labelled(namespace)
    namespace.wait_for_claims("again")


def test_manifests_that_cannot_be_written_do_not_hide_what_was_restored(
    modules: Modules,
    images: Images,
    namespace: Namespace,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backed_up(modules, images)
    file, target = tmp_path / "manifests.json", images.name()
    monkeypatch.setattr(restore, "_remember", lambda *_args: file.write_text("mine"))
    result = modules.restore(target, manifests=wanted(namespace, apply=False, file=str(file)))
    assert result["failed"]
    assert result["changed"]
    assert result["image"] == str(target)
    assert "never overwrites" in result["msg"]
    assert "The images are restored and complete" in result["msg"]
    assert file.read_text() == "mine"
