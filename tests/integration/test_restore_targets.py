# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where rbd_restore writes to in the lab: new images, images that exist, the objects of Kubernetes; and what it leaves
when it is killed."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions import restore_content
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.restore_image import INCOMPLETE
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec
from ansible_collections.rbd_backup.gfs.tests.integration import history
from ansible_collections.rbd_backup.gfs.tests.integration.conftest import Lab
from ansible_collections.rbd_backup.gfs.tests.integration.history import name
from ansible_collections.rbd_backup.gfs.tests.integration.images import MIB, Images
from ansible_collections.rbd_backup.gfs.tests.integration.modules import Modules, volume
from ansible_collections.rbd_backup.gfs.tests.integration.namespaces import Namespace, Object
from ansible_collections.rbd_backup.gfs.tests.integration.processes import eventually

FILES = {"known.txt": b"known\n" * 5000, "blob": os.urandom(300_000)}


def metadata(images: Images, spec: ImageSpec) -> dict[str, str]:
    said = images.rbd(spec, "image-meta", "list", "--format", "json")
    found: dict[str, str] = json.loads(said) if said.strip() else {}
    return found


def extents(images: Images, spec: ImageSpec) -> int:
    """How many bytes of the image are not a hole."""
    found = json.loads(images.rbd(spec, "diff", "--format", "json"))
    return sum(int(item["length"]) for item in found if item["exists"] in (True, "true"))


def test_a_file_system_is_restored_with_its_files_and_as_thin(
    modules_each_way: Modules, images: Images, tmp_path: pathlib.Path
) -> None:
    modules = modules_each_way
    spec, tree, raw = images.name(), tmp_path / "tree", tmp_path / "made.raw"
    tree.mkdir()
    for file, content in FILES.items():
        (tree / file).write_bytes(content)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", str(tree), str(raw), "64M"], check=True)
    images._run("import", "--no-progress", str(raw), str(spec))
    modules.snapshot([spec], time=history.day(0))
    modules.backup([spec])
    target = images.name()
    result = modules.restore(target)
    assert "failed" not in result, result
    restored = tmp_path / "restored.raw"
    restored.write_bytes(images.read(target))
    subprocess.run(["e2fsck", "-f", "-n", str(restored)], check=True, capture_output=True)
    for file, content in FILES.items():
        done = subprocess.run(
            ["debugfs", "-R", f"cat {file}", str(restored)], check=True, capture_output=True
        )
        assert done.stdout == content
    assert extents(images, target) <= extents(images, spec)
    assert modules.restore_to({"raw": str(tmp_path / "x.raw")}, claim="data-0")["raw"] == str(
        tmp_path / "x.raw"
    )
    assert (tmp_path / "x.raw").read_bytes() == restored.read_bytes()


def test_the_stream_of_the_script_makes_an_image_of_it(modules: Modules, images: Images) -> None:
    spec = images.create(history.SIZE)
    history.age(images, spec, range(2))
    images.change(spec, ("resize", history.SIZE + MIB + 512))
    history.age(images, spec, [2])
    modules.backup([spec])
    script = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "restore.py"
    command = (
        'python3 -I "$1" restore "$2" --point "$3" --stdout --format diff | '
        'rbd --id backup import-diff --no-progress - "$4"'
    )
    for number in range(3):
        target = images.create(4 * MIB)
        words = (str(script), str(history.volume_directory(modules)), name(number), str(target))
        subprocess.run(["bash", "-euo", "pipefail", "-c", command, "-", *words], check=True)
        assert images.read(target) == images.read(spec, name(number))
        assert history.snapshots(images, target) == []
        assert extents(images, target) <= extents(images, spec)


def test_an_image_is_overwritten_only_where_that_is_wanted_and_nobody_uses_it(
    modules_each_way: Modules, images: Images
) -> None:
    modules = modules_each_way
    spec = history.backed_up(images, modules, 2)
    first, second = images.read(spec, name(0)), images.read(spec, name(1))
    overwrite = {"place": {"overwrite": True}, "restore_point": name(0)}
    with images.opened(spec):
        refused = modules.restore(spec, **overwrite)
    assert "watcher" in refused["msg"]
    assert images.read(spec) == second
    result = modules.restore(spec, **overwrite)
    assert result["overwritten"], result
    assert images.read(spec) == first
    assert INCOMPLETE not in metadata(images, spec)
    assert history.snapshots(images, spec) == [name(0), name(1)]
    # what comes after is a diff against a snapshot from before, and right
    history.live(images, modules, spec, [2])
    history.all_equal(images, modules, spec, [name(1), name(2)])


def test_an_image_that_is_not_wholly_overwritten_says_so_until_it_is(
    modules: Modules, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = history.backed_up(images, modules, 1)
    target = images.create(8 * MIB)

    def die() -> None:
        monkeypatch.setattr(
            restore_content.Content, "_compare", lambda *_args: os.kill(os.getpid(), signal.SIGKILL)
        )

    assert modules.run_and_die(lambda: modules.restore(target, place={"overwrite": True}), die)
    assert metadata(images, target)[INCOMPLETE] == f"incomplete: {name(0)}"
    new = images.name()
    assert modules.run_and_die(lambda: modules.restore(new), die)
    left = [image for image in images.listed(new.pool) if image.startswith(new.image)]
    assert [image.split(".")[1][:17] for image in left] == ["unproved-restore-"]
    images.adopt([ImageSpec(new.pool, "", image) for image in left])

    def complete() -> bool:
        result = modules.restore(target, place={"overwrite": True})
        assert result["changed"] or "watcher" in result["msg"], result
        return bool(result["changed"])

    eventually(complete, seconds=120)  # a client that was killed counts as a watcher for half a minute
    assert INCOMPLETE not in metadata(images, target)
    assert images.read(target) == images.read(spec, name(0))


def test_metadata_and_places_that_are_not_there(modules: Modules, images: Images, lab: Lab) -> None:
    spec = images.create(history.SIZE)
    images.rbd(spec, "image-meta", "set", "rbd.csi.ceph.com/dek", "wrapped")
    images.rbd(spec, "image-meta", "set", "conf_rbd_cache", "false")
    history.age(images, spec, range(1))
    modules.backup([spec])
    plain, all_of_it = images.name(), images.name()
    assert modules.restore(plain)["metadata"] == ["rbd.csi.ceph.com/dek"]
    assert metadata(images, plain) == {"rbd.csi.ceph.com/dek": "wrapped"}
    modules.restore(all_of_it, place={"metadata": True})
    assert metadata(images, all_of_it) == metadata(images, spec)
    for check_mode in (True, False):
        for place, word in (
            ({"rados_namespace": "nowhere"}, "no RADOS namespace nowhere"),
            ({"data_pool": "no-pool"}, "no pool no-pool"),
        ):
            refused = modules.restore(images.name(), place=place, check_mode=check_mode)
            assert word in refused["msg"]
    there = images.name(lab.pool, lab.rados_namespace)
    assert modules.restore(there)["image"] == str(there)


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


def test_a_static_volume_and_its_claim_are_validated_applied_and_bound(
    modules: Modules, images: Images, namespace: Namespace, lab: Lab, tmp_path: pathlib.Path
) -> None:
    spec = images.create(history.SIZE)
    history.age(images, spec, range(1))
    entry = {**volume(spec, "data-0"), "manifests": manifests("data-0", spec, "shop")}
    modules.run(
        "rbd_export_diff", volumes=[entry], root=str(modules.root), cluster="lab", init=True, timezone="UTC"
    )
    target, file = images.name(), tmp_path / "manifests.json"
    options = {"kubeconfig": lab.admin_kubeconfig, "manifests": {"claim": "again", "apply": True}}
    nowhere = modules.restore(
        target, **{**options, "manifests": {"namespace": "no-such-place", "apply": True}}
    )
    assert "no-such-place" in nowhere["msg"]
    assert not [image for image in images.listed(target.pool) if image.startswith(target.image)]
    options["manifests"] = {
        "namespace": namespace.name,
        "claim": "again",
        "apply": True,
        "file": str(file),
        "persistent_volume": f"{namespace.name}-again",
    }
    preview = modules.restore(target, check_mode=True, **options)
    assert len(preview["manifests"]) == 2, preview
    assert namespace.get("pvc") == []
    result = modules.restore(target, **options)
    assert "failed" not in result, result
    assert json.loads(file.read_text())["items"] == result["manifests"]
    namespace.kubectl("label", "pv", f"{namespace.name}-again", f"rbd-backup-test={namespace.name}")
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
