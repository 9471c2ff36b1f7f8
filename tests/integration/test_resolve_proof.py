# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Ceph says of the volumes that Kubernetes names: identity, contradictions, and copies that mirroring writes."""

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.rbd import RbdClient
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec
from ansible_collections.rbd_backup.gfs.tests.integration.conftest import Lab
from ansible_collections.rbd_backup.gfs.tests.integration.images import MIB, Images
from ansible_collections.rbd_backup.gfs.tests.integration.modules import Modules
from ansible_collections.rbd_backup.gfs.tests.integration.namespaces import Namespace, Object
from ansible_collections.rbd_backup.gfs.tests.integration.sources import BLOCK, csi, static_of

UUID = "9c2f6a10-4f0e-4f5c-8a54-0d6f3f1f7a11"


@pytest.fixture
def mirrored(lab: Lab, images: Images) -> t.Iterator[ImageSpec]:
    """An image that another cluster writes: mirroring was enabled for it, and it was demoted."""
    spec = images.create(pool=lab.other_pool)
    images._run("mirror", "pool", "enable", spec.pool, "image")
    images.rbd(spec, "mirror", "image", "enable", "snapshot")
    images.rbd(spec, "mirror", "image", "demote")
    yield spec
    images.rbd(spec, "mirror", "image", "disable", "--force")
    images._run("mirror", "pool", "disable", spec.pool)


def dynamic(spec: ImageSpec, pool_id: int, pool: str) -> Object:
    return csi(f"0001-0009-rook-ceph-{pool_id:016x}-{UUID}", pool=pool, imageName=spec.image)


def resolve(modules: Modules, namespace: Namespace, **options: t.Any) -> dict[str, t.Any]:
    wanted = [{"namespace": namespace.name, "deployments": "all"}]
    return modules.run("k8s_rbd_resolve", workloads=wanted, storage_classes=[BLOCK], **options)


def claims(namespace: Namespace, **sources: Object) -> None:
    for claim, source in sources.items():
        namespace.claim(claim, BLOCK, source)
    namespace.wait_for_claims(*sources)


def test_the_identity_and_form_of_each_image(
    namespace: Namespace, modules_each_way: Modules, images: Images, local_rbd: RbdClient
) -> None:
    parent = images.create(32 * MIB, "--object-size", "2M")
    images.rbd(parent, "snap", "create", "--snap", "s")
    clone = images.clone(parent, "s")
    claims(namespace, parent=static_of(parent), clone=static_of(clone))
    result = resolve(modules_each_way, namespace)
    found = {volume["claim"]: volume for volume in result["volumes"]}
    assert (result["problems"], result["left_out"]) == ([], [])
    for name, spec in (("parent", parent), ("clone", clone)):
        told = json.loads(images.rbd(spec, "info", "--format", "json"))
        assert (found[name]["image_id"], found[name]["size"]) == (told["id"], 32 * MIB)
        assert found[name]["features"] == told["features"]
        assert found[name]["object_size"] == told["object_size"]
        assert found[name]["fsid"] == local_rbd.fsid()
        assert found[name]["pool_id"] == local_rbd.pool_ids()[spec.pool]
    assert (found["parent"]["object_size"], found["parent"]["parent"]) == (2 * MIB, None)
    assert found["clone"]["parent"] == f"{parent}@s"


def test_without_ceph_nothing_is_said_of_the_image(namespace: Namespace, modules: Modules) -> None:
    claims(namespace, data=static_of(ImageSpec("replicapool", "", "not-there")))
    (volume,) = resolve(modules, namespace, ceph=None)["volumes"]
    for key in ("fsid", "pool_id", "image_id", "size", "features", "object_size", "parent"):
        assert volume[key] is None


def test_a_copy_that_mirroring_writes_is_left_out_with_a_warning(
    namespace: Namespace, modules: Modules, images: Images, mirrored: ImageSpec
) -> None:
    primary = images.create(pool=mirrored.pool)
    images.rbd(primary, "mirror", "image", "enable", "snapshot")
    try:
        claims(namespace, copy=static_of(mirrored), primary=static_of(primary))
        result = resolve(modules, namespace)
    finally:
        images.rbd(primary, "mirror", "image", "disable")
    assert [volume["claim"] for volume in result["volumes"]] == ["primary"]
    (left_out,) = result["left_out"]
    assert (left_out["claim"], left_out["warning"]) == ("copy", True)
    assert "non-primary" in left_out["reason"]
    assert f"claim {namespace.name}/copy" in str(result["warnings"])
    assert result["problems"] == []


def test_the_pool_is_that_of_the_id_in_the_handle(
    namespace: Namespace, modules: Modules, lab: Lab, images: Images, local_rbd: RbdClient
) -> None:
    pool_id = local_rbd.pool_ids()[lab.pool]
    spec = images.create()
    name = f"csi-vol-{UUID}"
    images.rbd(spec, "rename", "--dest-pool", spec.pool, "--dest", name)
    there = ImageSpec(lab.pool, "", name)
    images.adopt([there])
    claims(
        namespace,
        renamed=dynamic(there, pool_id, "as-it-was-called"),
        elsewhere=dynamic(there, local_rbd.pool_ids()[lab.other_pool], lab.pool),
        nowhere=dynamic(there, 4711, lab.pool),
    )
    result = resolve(modules, namespace)
    assert [(volume["claim"], volume["pool"]) for volume in result["volumes"]] == [("renamed", lab.pool)]
    problems = {problem["claim"]: problem["message"] for problem in result["problems"]}
    assert set(problems) == {"elsewhere", "nowhere"}
    for message in problems.values():
        assert "It may be a volume of another Ceph cluster" in message


def test_an_image_that_is_not_there_or_of_another_claim_is_a_problem(
    namespace: Namespace, modules: Modules, images: Images
) -> None:
    gone, strange, own = images.name(), images.create(), images.create()
    for spec, claim in ((strange, "another"), (own, "own")):
        images.rbd(spec, "image-meta", "set", "csi.storage.k8s.io/pvc/name", claim)
        images.rbd(spec, "image-meta", "set", "csi.storage.k8s.io/pvc/namespace", namespace.name)
    claims(namespace, gone=static_of(gone), strange=static_of(strange), own=static_of(own))
    result = resolve(modules, namespace)
    assert [volume["claim"] for volume in result["volumes"]] == ["own"]
    problems = {problem["claim"]: problem["message"] for problem in result["problems"]}
    assert set(problems) == {"gone", "strange"}
    assert str(gone) in problems["gone"]
    assert "belongs to another claim" in problems["strange"]
    strict = resolve(modules, namespace, strict=True)
    assert strict["failed"]
    assert all(message in strict["msg"] for message in problems.values())


def test_a_claim_that_borrows_an_image_does_not_hide_its_owner(
    namespace: Namespace, modules: Modules, images: Images
) -> None:
    spec = images.create()
    images.rbd(spec, "image-meta", "set", "csi.storage.k8s.io/pvc/name", "rightful")
    claims(namespace, borrower=static_of(spec), rightful=static_of(spec))
    result = resolve(modules, namespace)
    assert [volume["claim"] for volume in result["volumes"]] == ["rightful"]
    assert [problem["claim"] for problem in result["problems"]] == ["borrower"]


def test_an_image_behind_two_claims_is_backed_up_once(
    namespace: Namespace, modules: Modules, images: Images
) -> None:
    spec = images.create()
    claims(namespace, a=static_of(spec), b=static_of(spec), c=static_of(spec, clusterID="another"))
    for ceph in ({}, {"ceph": None}):
        result = resolve(modules, namespace, **ceph)
        assert [volume["claim"] for volume in result["volumes"]] == ["a"]
        assert [item["claim"] for item in result["left_out"]] == ["b"]
        assert [problem["claim"] for problem in result["problems"]] == ["c"]


def test_ceph_that_cannot_be_asked_is_one_error_and_not_one_a_volume(
    namespace: Namespace, modules: Modules, images: Images, lab: Lab
) -> None:
    claims(namespace, a=static_of(images.create()), b=static_of(images.create()))
    result = resolve(modules, namespace, ceph=lab.ceph_options("local", user="nobody-of-that-name"))
    assert result["failed"]
    assert [problem["message"] for problem in result["problems"]] == [result["msg"]]
    assert (result["volumes"], result["resolved_for"]) == ([], None)
