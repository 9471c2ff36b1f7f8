# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs over 200 images of the lab's Ceph: how many processes and pod execs they take, and what a broken image does."""

from __future__ import annotations

import datetime as dt
import json
import pathlib
import subprocess
import typing as t
import uuid

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.backup_set import BackupSet
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.manifest import Origin
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.names import archive_name
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.publish import ArchiveWriter
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.volume_directory import describe
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph import local, pod
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.rbd import RbdClient
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.digest import ImageDigest
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.records import Header
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.writer import DiffWriter
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import (
    Identity,
    ImageInfo,
    ImageSpec,
    State,
    Volume,
)
from ansible_collections.rbd_backup.gfs.tests.integration.conftest import Lab
from ansible_collections.rbd_backup.gfs.tests.integration.history import day, name
from ansible_collections.rbd_backup.gfs.tests.integration.images import MIB, Images
from ansible_collections.rbd_backup.gfs.tests.integration.modules import Modules, volume

SIZE = 8 * MIB
SCRIPT = pathlib.Path(__file__).parent / "make_rbd_images.py"
POLICY = {"retention": {"daily": 7, "weekly": 4, "monthly": 3}, "time": day(1)}


class Many:
    """Empty images in a pool, and as many in a RADOS namespace of it, each with the snapshot of the first day."""

    def __init__(self, lab: Lab, in_each: int) -> None:
        run = uuid.uuid4().hex[:12]
        self._conf = lab.admin_ceph_conf
        self._places = [(lab.pool, ""), (lab.pool, lab.rados_namespace)]
        self._names = [f"test-{run}-{number}" for number in range(in_each)]
        self.specs = [ImageSpec(*place, image) for place in self._places for image in self._names]
        self.ids: list[tuple[str, int]] = []
        self._broken: list[tuple[ImageSpec, str]] = []

    def make(self) -> None:
        """Make the images."""
        self.ids = [ids for place in self._places for ids in self._do("make", place)]

    def remove(self) -> None:
        """Remove the images, whatever became of them."""
        for spec, image_id in self._broken:
            self._clear_away(spec, image_id)
        for place in self._places:
            self._do("remove", place)

    def break_header(self, spec: ImageSpec, *how: str) -> None:
        """Make an image that cannot be opened: *how* is a rados command, in two parts around its header object."""
        image_id = self.ids[self.specs.index(spec)][0]
        self._broken.append((spec, image_id))
        self._rados(spec, how[0], f"rbd_header.{image_id}", *how[1:])

    def _clear_away(self, spec: ImageSpec, image_id: str) -> None:
        """Remove the objects of an empty image that librbd cannot open."""
        self._rados(spec, "rm", f"rbd_id.{spec.image}")
        for key in (f"name_{spec.image}", f"id_{image_id}"):
            self._rados(spec, "rmomapkey", "rbd_directory", key)
        self._rados(spec, "setomapval", f"rbd_header.{image_id}", "size", "")  # rm fails where there is none
        self._rados(spec, "rm", f"rbd_header.{image_id}")

    def _rados(self, spec: ImageSpec, *words: str) -> None:
        place = ["--pool", spec.pool, "--namespace", spec.rados_namespace]
        subprocess.run(["rados", "--conf", self._conf, *place, *words], check=True)

    def _do(self, what: str, place: tuple[str, str]) -> t.Any:
        job = {
            "do": what,
            "conf": self._conf,
            "pool": place[0],
            "rados_namespace": place[1],
            "names": self._names,
            "size": SIZE,
            "snapshot": name(0),
        }
        command = ["/usr/bin/python3", str(SCRIPT)]
        done = subprocess.run(
            command, input=json.dumps(job), check=False, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def many(lab: Lab, request: pytest.FixtureRequest) -> t.Iterator[Many]:
    images = Many(lab, request.param)
    try:
        images.make()
        yield images
    finally:
        images.remove()


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Every Ceph command that is started on this host or in a pod, as they happen."""
    started: list[list[str]] = []
    child, command = local.Child, pod.FarCommand

    def start_child(argv: t.Sequence[str], takes_input: bool) -> t.Any:
        started.append(list(argv))
        return child(argv, takes_input)

    def start_in_pod(stream: t.Any, argv: t.Sequence[str], *how: t.Any, **more: t.Any) -> t.Any:
        started.append(list(argv))
        return command(stream, argv, *how, **more)

    monkeypatch.setattr(local, "Child", start_child)
    monkeypatch.setattr(pod, "FarCommand", start_in_pod)
    return started


def back_up_without_ceph(many: Many, modules: Modules, ceph: RbdClient) -> None:
    """Publish a real archive of each image: those of empty images are known without an export."""
    backup_set, _made = BackupSet.init(str(modules.set_path), ceph.fsid(), "gfs", "Europe/Berlin")
    noon = dt.datetime(2026, 1, 1, 12, tzinfo=dt.timezone.utc)
    for number, (spec, (image_id, snapshot_id)) in enumerate(zip(many.specs, many.ids)):
        identity = Identity(ceph.fsid(), ceph.pool_ids()[spec.pool], spec.rados_namespace, image_id)
        volume = Volume("shop", f"data-{number}", spec, identity)
        directory = backup_set.create(volume, describe(volume, ImageInfo(image_id, SIZE, 4 * MIB, ()), {}))
        to = State(name(0), snapshot_id, SIZE)
        digest = ImageDigest(SIZE).hexdigest()
        with ArchiveWriter(directory.path, archive_name(to.snapshot, None, "zstd")) as writer:
            stream = DiffWriter(writer.write)
            stream.header(Header(None, to.snapshot, SIZE))
            stream.end()
            writer.seal(Origin(identity, spec, to, None, "full", noon, noon, "1", "16", digest))
            writer.publish()


@pytest.mark.parametrize("many", [100], indirect=True)
def test_a_run_over_200_images_takes_as_many_commands_as_there_are_pools(
    lab: Lab,
    many: Many,
    local_rbd: RbdClient,
    tmp_path: pathlib.Path,
    commands: list[list[str]],
) -> None:
    ways = {way: Modules(lab.ceph_options(way), tmp_path, lab.kubeconfig) for way in ("local", "toolbox")}
    back_up_without_ceph(many, ways["local"], local_rbd)
    assert ways["local"].consolidate(many.specs, **POLICY)["changed"]  # it records the policy
    idle: list[tuple[str, dict[str, t.Any]]] = [
        ("backup", {}),
        ("snapshot", {"time": day(0), "min_interval": 3600}),
        ("consolidate", POLICY),
    ]
    for way, modules in ways.items():
        for step, options in idle:
            commands.clear()
            result = getattr(modules, step)(many.specs, **options)
            assert (result.get("failed", False), result["changed"]) == (False, False), (way, step, result)
            # the cluster with its pools, and a listing each of the pool and the RADOS namespace
            assert len(commands) == 3, (way, step, commands)


@pytest.mark.parametrize("many", [10], indirect=True)
def test_a_broken_image_is_told_and_nothing_is_read_of_those_that_have_nothing_to_do(
    lab: Lab,
    many: Many,
    images: Images,
    local_rbd: RbdClient,
    tmp_path: pathlib.Path,
    commands: list[list[str]],
) -> None:
    ways = {way: Modules(lab.ceph_options(way), tmp_path, lab.kubeconfig) for way in ("local", "toolbox")}
    back_up_without_ceph(many, ways["local"], local_rbd)
    worker, headless, damaged = many.specs[7], many.specs[13], many.specs[-1]
    many.break_header(headless, "rm")
    many.break_header(damaged, "setomapval", "size", "no size")
    for number, modules in enumerate(ways.values(), start=1):
        images.rbd(worker, "snap", "create", "--snap", name(number), "--no-progress")
        commands.clear()
        result = modules.backup(many.specs)
        assert [(item["claim"], item["snapshot"]) for item in result["archives"]] == [
            ("data-7", name(number))
        ]
        assert result["unchanged"] == len(many.specs) - 2 + (number - 1)
        failures = {item["image"]: item["message"] for item in result["failures"]}
        assert set(failures) == {str(headless), str(damaged)}
        assert "is listed in its pool, but it cannot be opened" in failures[str(headless)]
        assert "Input/output error" in failures[str(damaged)]
        named = {words[words.index("--image") + 1] for words in commands if "--image" in words}
        assert named <= {spec.image for spec in (worker, headless, damaged)}


@pytest.mark.parametrize("many", [4], indirect=True)
def test_a_broken_image_hides_no_orphan_beside_it_and_is_named(
    lab: Lab, many: Many, images: Images, modules: Modules
) -> None:
    used, in_trash, pinned = many.specs[0], many.specs[1], many.specs[2]
    also_used, headless, damaged, orphan = many.specs[4:]
    modules.backup([used, also_used])
    many.break_header(headless, "rm")
    many.break_header(damaged, "setomapval", "size", "no size")
    for spec in (in_trash, pinned):
        images.rbd(spec, "trash", "mv")
    header = f"rbd_header.{many.ids[1][0]}"
    rados = ["rados", "--conf", lab.admin_ceph_conf, "--pool", lab.pool, "setomapval", header, "size"]
    subprocess.run([*rados, "no size"], check=True)
    try:
        for way in ("local", "toolbox"):
            ceph = lab.ceph_options(way)
            in_use = [volume(used), volume(also_used, "also")]
            found = modules.info(volumes=in_use, volumes_complete=True, ceph=ceph)
            orphans = {one["image"]: one for one in found["orphans"]}
            assert orphans[orphan.image]["snapshots"] == [name(0)]
            assert orphans[pinned.image]["in_trash"]
            for spec in (headless, damaged):
                assert [str(spec) in problem for problem in found["problems"]].count(True) == 1
            assert any(f"image id {many.ids[1][0]} in the trash" in problem for problem in found["problems"])
            assert all(problem in found["table"] for problem in found["problems"])
    finally:
        subprocess.run(rados, input=SIZE.to_bytes(8, "little"), check=True)
        for image_id, _snapshot_id in many.ids[1:3]:
            images.out_of_the_trash(lab.pool, image_id)


@pytest.fixture
def own_namespace(lab: Lab) -> t.Iterator[str]:
    """A RADOS namespace that no other test lists."""
    rados_namespace = f"test-{uuid.uuid4().hex[:12]}"
    rbd = ["rbd", "--conf", lab.admin_ceph_conf, "namespace"]
    subprocess.run([*rbd, "create", f"{lab.pool}/{rados_namespace}"], check=True)
    yield rados_namespace
    subprocess.run([*rbd, "remove", f"{lab.pool}/{rados_namespace}"], check=True)


def test_where_nothing_can_be_listed_each_volume_is_asked_for_alone(
    lab: Lab, own_namespace: str, images: Images, modules: Modules
) -> None:
    specs = [images.create(SIZE, rados_namespace=own_namespace) for _number in range(5)]
    for spec in specs:
        images.rbd(spec, "snap", "create", "--snap", name(0), "--no-progress")
    rados = ["rados", "--conf", lab.admin_ceph_conf, "--pool", lab.pool, "--namespace", own_namespace]
    subprocess.run([*rados, "setomapval", "rbd_directory", "name_junk", "no id"], check=True)
    try:
        with pytest.raises(AssertionError, match="listing images failed"):
            images.listed(f"{lab.pool}/{own_namespace}")
        result = modules.backup(specs)
        assert not result.get("failed"), result
        assert len(result["archives"]) == len(specs)
        again = modules.backup(specs)
        assert (again.get("failed", False), again["unchanged"]) == (False, len(specs))
        found = modules.info(volumes=[volume(specs[0])], volumes_complete=True, ceph=modules.ceph)
        assert {one["image"]: one["snapshots"] for one in found["orphans"]} == {
            spec.image: [name(0)] for spec in specs[1:]
        }
        assert any(own_namespace in problem for problem in found["problems"])
    finally:
        subprocess.run([*rados, "rmomapkey", "rbd_directory", "name_junk"], check=True)
