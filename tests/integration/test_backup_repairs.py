# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rbd_export_diff where archives are damaged or gone: made again while the snapshots exist, named where they do not."""

from __future__ import annotations

import datetime as dt
import json
import os
import pathlib
import signal
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.files import atomic_write_json
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.proof import load_proof, save_proof
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.volume_directory import VolumeDirectory
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec
from ansible_collections.rbd_backup.gfs.tests.integration import history
from ansible_collections.rbd_backup.gfs.tests.integration.history import name
from ansible_collections.rbd_backup.gfs.tests.integration.images import Images
from ansible_collections.rbd_backup.gfs.tests.integration.modules import Modules

MIDDLE = f"{name(1)}.from-{name(0)}.diff.zst"
NOW = dt.datetime(2026, 11, 23, tzinfo=dt.timezone.utc)


@pytest.fixture
def spec(images: Images) -> ImageSpec:
    return images.create(history.SIZE)


@pytest.fixture
def middle(modules: Modules, images: Images, spec: ImageSpec) -> pathlib.Path:
    """The archive in the middle of three."""
    history.live(images, modules, spec, range(3))
    return history.volume_directory(modules) / MIDDLE


def flip(path: pathlib.Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def manifest(archive: pathlib.Path) -> pathlib.Path:
    return archive.with_name(f"{archive.name}.json")


DAMAGE: dict[str, t.Callable[[pathlib.Path], None]] = {
    "archive gone": lambda path: path.unlink(),
    "archive cut": lambda path: os.truncate(path, path.stat().st_size - 1),
    "archive flipped": flip,
    "manifest gone": lambda path: manifest(path).unlink(),
    "manifest flipped": lambda path: flip(manifest(path)),
    "both gone": lambda path: (path.unlink(), manifest(path).unlink()),
}


def assert_nothing_to_do(modules: Modules, spec: ImageSpec) -> None:
    before = files_but_the_proof(modules)
    for verify in ("recorded", "full"):
        again = modules.backup([spec], verify=verify)
        assert not again["changed"]
        assert "warnings" not in again
    assert files_but_the_proof(modules) == before


def files_but_the_proof(modules: Modules) -> dict[str, str]:
    """The dates in proof.json are bookkeeping."""
    return {
        path: digest for path, digest in history.files(modules).items() if not path.endswith("proof.json")
    }


@pytest.mark.parametrize(
    ("damage", "compression"),
    [*((kind, "zstd") for kind in DAMAGE), ("archive flipped", "gzip"), ("manifest gone", "gzip")],
)
def test_an_archive_in_the_middle_is_exported_again_and_said_so(
    modules: Modules, images: Images, spec: ImageSpec, middle: pathlib.Path, damage: str, compression: str
) -> None:
    DAMAGE[damage](middle)
    preview = modules.backup([spec], verify="full", compression=compression, check_mode=True)
    result = modules.backup([spec], verify="full", compression=compression)
    for outcome in (preview, result):
        assert [(item["snapshot"], item["base"]) for item in outcome["archives"]] == [(name(1), name(0))]
        if damage != "both gone":
            assert "exported again" in outcome["archives"][0]["reason"]
            assert middle.name in str(outcome["warnings"])
            assert "it is exported again" in str(outcome["warnings"])
    assert result["unchanged"] == 2
    assert len(history.archives(modules)) == 3
    assert not list(modules.set_path.rglob("*.bad-*"))
    assert_nothing_to_do(modules, spec)
    history.all_equal(images, modules, spec, [name(2)])


def test_a_flipped_bit_is_found_by_reading_alone(
    modules: Modules, images: Images, spec: ImageSpec, middle: pathlib.Path
) -> None:
    flip(middle)
    assert not modules.backup([spec])["changed"]
    assert modules.backup([spec], verify="full")["changed"]


def test_what_was_read_and_found_right_is_noted_and_what_was_not_is_forgotten(
    modules: Modules, images: Images, spec: ImageSpec, middle: pathlib.Path
) -> None:
    assert not modules.backup([spec], verify="full")["changed"]
    assert sorted(load_proof(str(middle.parent)).hashed) == history.archives(modules)
    flip(middle)
    images.rbd(spec, "snap", "rm", "--snap", name(1), "--no-progress")
    modules.backup([spec], verify="full")
    assert middle.name not in load_proof(str(middle.parent)).hashed


def test_where_the_snapshot_is_gone_too_the_successor_is_made_again_and_the_lost_point_is_named(
    modules: Modules, images: Images, spec: ImageSpec, middle: pathlib.Path
) -> None:
    flip(middle)
    images.rbd(spec, "snap", "rm", "--snap", name(1), "--no-progress")
    result = modules.backup([spec], verify="full")
    assert [(item["snapshot"], item["base"]) for item in result["archives"]] == [(name(2), name(0))]
    assert f"restore point {name(1)} of volume" in str(result["warnings"])
    assert middle.exists()
    history.all_equal(images, modules, spec, [name(0), name(2)])
    again = modules.backup([spec], verify="full")
    assert not again["changed"]
    assert name(1) in str(again["warnings"])


def test_without_a_trace_of_archive_and_snapshot_the_point_is_named_from_what_stood_on_it(
    modules: Modules, images: Images, spec: ImageSpec, middle: pathlib.Path
) -> None:
    DAMAGE["both gone"](middle)
    images.rbd(spec, "snap", "rm", "--snap", name(1), "--no-progress")
    result = modules.backup([spec])
    assert [(item["snapshot"], item["base"]) for item in result["archives"]] == [(name(2), name(0))]
    assert f"Restore point {name(1)} of volume" in str(result["warnings"])
    history.all_equal(images, modules, spec, [name(0), name(2)])


def test_an_archive_without_a_manifest_whose_snapshot_is_gone_is_kept_and_named(
    modules: Modules, images: Images, spec: ImageSpec, middle: pathlib.Path
) -> None:
    content = middle.read_bytes()
    manifest(middle).unlink()
    images.rbd(spec, "snap", "rm", "--snap", name(1), "--no-progress")
    result = modules.backup([spec])
    assert middle.read_bytes() == content
    assert "has no manifest" in str(result["warnings"])
    assert "gone from Ceph" in str(result["warnings"])
    history.all_equal(images, modules, spec, [name(0), name(2)])


def test_a_run_killed_before_it_removes_what_it_replaced_is_finished_by_the_next(
    modules: Modules, images: Images, spec: ImageSpec, middle: pathlib.Path
) -> None:
    flip(middle)

    def die_there() -> None:
        VolumeDirectory.remove_superseded = lambda *_args: os.kill(os.getpid(), signal.SIGKILL)

    assert modules.run_and_die(lambda: modules.backup([spec], verify="full"), die_there)
    assert len(list(modules.set_path.rglob("*.bad-*"))) == 2
    assert modules.backup([spec], check_mode=True)["changed"]
    result = modules.backup([spec])
    assert result["changed"]
    assert result["archives"] == []
    assert not list(modules.set_path.rglob("*.bad-*"))
    assert_nothing_to_do(modules, spec)
    history.all_equal(images, modules, spec, [name(0), name(1), name(2)])


def test_what_was_replaced_is_kept_while_its_replacement_is_not_right(
    modules: Modules, images: Images, spec: ImageSpec, middle: pathlib.Path
) -> None:
    old = middle.with_name(f"{middle.name}.bad-20261101T000000Z")
    old.write_bytes(middle.read_bytes())
    flip(middle)
    images.rbd(spec, "snap", "rm", "--snap", name(1), "--no-progress")
    modules.backup([spec])
    assert old.exists()


def test_an_archive_with_a_rebuilt_manifest_is_made_again_while_its_snapshot_exists(
    modules: Modules, images: Images, spec: ImageSpec, middle: pathlib.Path
) -> None:
    """Nobody knows the ids of one: it must not be a base."""
    content = json.loads(manifest(middle).read_text())
    del content["checksum"]
    content.update(rebuilt=True, to={**content["to"], "id": None}, base={**content["base"], "id": None})
    atomic_write_json(str(manifest(middle)), content, "")
    result = modules.backup([spec])
    assert [item["snapshot"] for item in result["archives"]] == [name(1)]
    assert not json.loads(manifest(middle).read_text())["rebuilt"]
    assert_nothing_to_do(modules, spec)
    history.all_equal(images, modules, spec, [name(0), name(1), name(2)])


def test_an_archive_of_another_image_is_never_replaced(
    modules: Modules, images: Images, spec: ImageSpec, middle: pathlib.Path
) -> None:
    content = json.loads(manifest(middle).read_text())
    del content["checksum"]
    content["identity"]["image_id"] = "another"
    atomic_write_json(str(manifest(middle)), content, "")
    before = history.files(modules)
    assert "put there by hand" in modules.backup([spec])["msg"]
    assert history.files(modules) == before


def test_a_retired_snapshot_is_never_exported_again(
    modules: Modules, images: Images, spec: ImageSpec, middle: pathlib.Path
) -> None:
    directory = history.volume_directory(modules)
    listed = json.loads(images.rbd(spec, "snap", "ls", "--format", "json"))
    (number,) = [item["id"] for item in listed if item["name"] == name(1)]
    proof = load_proof(str(directory))
    proof.retire(name(1), number, NOW)
    save_proof(str(directory), proof)
    DAMAGE["both gone"](middle)
    result = modules.backup([spec])
    assert [(item["snapshot"], item["base"]) for item in result["archives"]] == [(name(2), name(0))]
    assert "warnings" not in result
    history.age(images, spec, [3])
    assert [item["base"] for item in modules.backup([spec])["archives"]] == [name(2)]
    assert name(1) not in " ".join(file[: len(name(1))] for file in history.archives(modules))
