# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rbd_restore against the lab's Ceph: every restore point byte for byte, and every refusal before the first byte."""

from __future__ import annotations

import json
import pathlib

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions import restore_content
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec
from ansible_collections.rbd_backup.gfs.tests.integration import history
from ansible_collections.rbd_backup.gfs.tests.integration.history import day, name
from ansible_collections.rbd_backup.gfs.tests.integration.images import Images
from ansible_collections.rbd_backup.gfs.tests.integration.modules import Modules
from ansible_collections.rbd_backup.gfs.tests.integration.namespaces import Namespace
from ansible_collections.rbd_backup.gfs.tests.integration.sources import static_of


def test_every_restore_point_is_what_the_snapshot_is_and_the_image_is_like_the_original(
    modules_each_way: Modules, images: Images
) -> None:
    modules = modules_each_way
    spec = history.backed_up(
        images, modules, 3, "--object-size", "1M", "--image-feature", "layering,exclusive-lock"
    )
    history.all_equal(images, modules, spec, [name(0), name(1), name(2)])
    target = images.name()
    result = modules.restore(target)
    assert result["image"] == str(target)
    assert len(result["chain"]) == 3
    like, made = (json.loads(images.rbd(image, "info", "--format", "json")) for image in (spec, target))
    for key in ("size", "object_size", "features"):
        assert made[key] == like[key]
    again = modules.restore(images.name(), check_mode=True)
    assert again["image_digest_on_record"] == result["image_digest"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [("latest", 2), (name(1), 1), (day(1), 1), ("2026-01-02T23:00:00+01:00", 1), ("2026-02-01T00:00:00Z", 2)],
)
def test_a_restore_point_by_name_by_time_or_the_latest(
    modules: Modules, images: Images, wanted: str, found: int
) -> None:
    history.backed_up(images, modules, 3)
    assert modules.restore(images.name(), restore_point=wanted, check_mode=True)["restore_point"] == name(
        found
    )


def test_a_preview_creates_nothing(modules: Modules, images: Images) -> None:
    history.backed_up(images, modules, 3)
    target = images.name()
    preview = modules.restore(target, check_mode=True, diff=True)
    assert preview["changed"]
    assert preview["image_digest"] is None
    assert images.left_of(target) == []


def test_an_image_that_exists_is_never_written_to(modules: Modules, images: Images) -> None:
    spec = history.backed_up(images, modules, 3)
    before = images.read(spec)
    result = modules.restore(spec)
    assert "exists" in result["msg"]
    assert images.read(spec) == before


@pytest.mark.parametrize("what", ["archive", "manifest", "size"])
def test_one_damaged_byte_anywhere_in_the_chain_is_refused_before_anything_is_created(
    modules: Modules, images: Images, what: str
) -> None:
    history.backed_up(images, modules, 3)
    target = images.name()
    archive = history.volume_directory(modules) / f"{name(0)}.full.zst"
    damaged = archive.with_name(archive.name + ".json") if what == "manifest" else archive
    damage(damaged, cut=what == "size")
    result = modules.restore(target)
    assert result["failed"]
    assert "no image or file was created" in result["msg"] or "Nothing was touched" in result["msg"]
    assert images.left_of(target) == []


def damage(file: pathlib.Path, cut: bool) -> None:
    content = bytearray(file.read_bytes())
    if cut:
        del content[-1]
    else:
        content[len(content) // 2] ^= 0x01
    file.write_bytes(content)


@pytest.mark.parametrize("wanted", ["latest", day(2)])
def test_an_older_point_is_not_restored_without_a_word_where_the_newest_is_damaged(
    modules: Modules, images: Images, wanted: str
) -> None:
    history.backed_up(images, modules, 3)
    damage(history.volume_directory(modules) / f"{name(2)}.from-{name(1)}.diff.zst", cut=True)
    result = modules.restore(images.name(), restore_point=wanted)
    assert name(2) in result["msg"]
    assert f"is {name(1)}" in result["msg"]
    assert "failed" not in modules.restore(images.name(), restore_point=name(1), check_mode=True)


def test_a_restore_that_fails_in_the_middle_leaves_no_image(
    modules: Modules, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    history.backed_up(images, modules, 3)
    target = images.name()

    def fail(*_args: object) -> None:
        raise OSError("the network is gone")

    monkeypatch.setattr(restore_content.Content, "_compare", fail)
    result = modules.restore(target)
    assert result["failed"]
    assert images.left_of(target) == []


def test_an_unknown_claim_or_restore_point_or_pool_is_named(modules: Modules, images: Images) -> None:
    history.backed_up(images, modules, 3)
    target = images.name()
    assert "no volume of claim shop/nothing" in modules.restore(target, claim="nothing")["msg"]
    assert "There are" in modules.restore(target, restore_point="gfs-20250101T000000Z")["msg"]
    assert "neither" in modules.restore(target, restore_point="yesterday")["msg"]
    assert (
        "no restore point at or before"
        in modules.restore(target, restore_point="2025-01-01T00:00:00Z")["msg"]
    )
    nowhere = ImageSpec("no-such-pool", "", target.image)
    assert "no pool no-such-pool" in modules.restore(nowhere)["msg"]


def test_what_was_found_by_its_workload_is_restored_by_it(
    modules: Modules, images: Images, namespace: Namespace, tmp_path: pathlib.Path
) -> None:
    specs = {claim: images.create(history.SIZE) for claim in ("data-0", "data-1")}
    for claim, spec in specs.items():
        history.age(images, spec, range(1))
        namespace.claim(claim, "rook-ceph-block", static_of(spec))
    namespace.wait_for_claims(*specs)
    namespace.workload("Deployment", "web", replicas=0, claims=["data-0"])
    namespace.workload("StatefulSet", "web", replicas=0, claims=["data-1"], templates={})
    workloads = [{"namespace": namespace.name, "deployments": ["deployment/web", "statefulset/web"]}]
    resolved = modules.run("k8s_rbd_resolve", workloads=workloads, storage_classes=["rook-ceph-block"])
    place = {"root": str(modules.root), "cluster": "lab", "timezone": "UTC"}
    done = modules.run("rbd_export_diff", volumes=resolved["volumes"], init=True, **place)
    assert len(done["archives"]) == 2
    for claim, workload in (("data-0", "deployment/web"), ("data-1", "StatefulSet/web")):
        file = tmp_path / f"{claim}.raw"
        modules.restore_to({"raw": str(file)}, namespace=namespace.name, workload=workload)
        assert file.read_bytes() == images.read(specs[claim], name(0))
    both = modules.restore_to({"raw": str(tmp_path / "x")}, namespace=namespace.name, workload="web")
    assert "write deployment/web or statefulset/web" in both["msg"]
