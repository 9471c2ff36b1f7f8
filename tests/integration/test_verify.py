# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rbd_backup_verify on real backups: what is whole is proved, and each kind of damage is found and named."""

from __future__ import annotations

import datetime as dt
import json
import os
import pathlib
import shutil
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive import verify as reading
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.files import (
    atomic_write_json,
    read_json,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.lock import VolumeLock
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.manifest import Manifest
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec
from ansible_collections.rbd_backup.gfs.plugins.module_utils._names import format_utc, parse_utc
from ansible_collections.rbd_backup.gfs.tests.integration import history
from ansible_collections.rbd_backup.gfs.tests.integration.conftest import Lab
from ansible_collections.rbd_backup.gfs.tests.integration.history import day, name
from ansible_collections.rbd_backup.gfs.tests.integration.images import MIB, Images
from ansible_collections.rbd_backup.gfs.tests.integration.modules import Modules, volume
from ansible_collections.rbd_backup.gfs.tests.integration.processes import another_process

FULL = f"{name(0)}.full.zst"
DIFF = [f"{name(number)}.from-{name(number - 1)}.diff.zst" for number in (1, 2, 3)]


@pytest.fixture(scope="module")
def pristine(
    lab: Lab, images_in_use: Images, tmp_path_factory: pytest.TempPathFactory
) -> tuple[ImageSpec, pathlib.Path]:
    """An image with four days of history, all backed up, and the backup set; it grows all the time."""
    modules = Modules(lab.ceph_options("local"), tmp_path_factory.mktemp("backup"), lab.kubeconfig)
    image = images_in_use.create(history.SIZE)
    for number in range(4):
        history.age(images_in_use, image, [number])
        images_in_use.change(image, ("resize", (17 + number) * MIB))
    modules.backup([image])
    return image, modules.set_path


@pytest.fixture
def spec(modules: Modules, pristine: tuple[ImageSpec, pathlib.Path]) -> ImageSpec:
    """That image, with a copy of its backup set for one test."""
    shutil.copytree(pristine[1], modules.set_path)
    return pristine[0]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The archives that are opened for reading, in their order."""
    opened: list[str] = []
    original = reading._StoredFile.__init__

    def count(self: t.Any, path: str) -> None:
        opened.append(os.path.basename(path))
        original(self, path)

    monkeypatch.setattr(reading._StoredFile, "__init__", count)
    return opened


def proof(modules: Modules) -> dict[str, t.Any]:
    content: dict[str, t.Any] = json.loads((history.volume_directory(modules) / "proof.json").read_text())
    return content


def results(result: dict[str, t.Any]) -> dict[str, str]:
    (entry,) = result["volumes"]
    return {point["name"]: point["result"] for point in entry["restore_points"]}


def test_everything_is_proved_by_reading_every_archive_once(
    modules: Modules, images: Images, spec: ImageSpec, reads: list[str]
) -> None:
    files = history.archives(modules)
    preview = modules.verify(check_mode=True)
    assert reads == []
    assert set(results(preview).values()) == {"planned"}
    result = modules.verify()
    assert "failed" not in result, result
    assert not result["changed"]
    assert sorted(reads) == files
    assert results(result) == {name(number): "proved" for number in range(4)}
    sizes = [(history.volume_directory(modules) / file).stat().st_size for file in files]
    assert preview["archive_bytes"] == result["archive_bytes"] == sum(sizes)
    noted = proof(modules)
    assert sorted(noted["hashed"]) == files
    (entry,) = result["volumes"]
    for point in entry["restore_points"]:
        assert noted["image_digests"][point["name"]]["digest"] == point["image_digest"]
        restored = modules.restore(images.name(), restore_point=point["name"])
        assert restored["image_digest"] == point["image_digest"] == restored["image_digest_on_record"]


def flip(file: pathlib.Path, position: int = -40) -> None:
    content = bytearray(file.read_bytes())
    content[position] ^= 1
    file.write_bytes(content)


def restate(directory: pathlib.Path, file: str, **changes: t.Any) -> None:
    """Write a manifest whose own checksum is right and that says something else."""
    path = str(directory / f"{file}.json")
    atomic_write_json(path, {**read_json(path), **changes}, "")


def swap(directory: pathlib.Path) -> None:
    one, other, aside = directory / DIFF[0], directory / DIFF[1], directory / "aside"
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


def swap_with_sizes(directory: pathlib.Path) -> None:
    """Archives and what their manifests say of the bytes change places: only the stream itself tells."""
    swap(directory)
    keys = ("stored_bytes", "stored_sha256", "stream_bytes", "stream_sha256")
    said = [{key: read_json(str(directory / f"{file}.json"))[key] for key in keys} for file in DIFF[:2]]
    restate(directory, DIFF[0], **said[1])
    restate(directory, DIFF[1], **said[0])


def rejoin(directory: pathlib.Path) -> None:
    manifest = read_json(str(directory / f"{DIFF[1]}.json"))
    restate(directory, DIFF[1], base={**manifest["base"], "id": 999999})


DAMAGE: dict[str, tuple[t.Callable[[pathlib.Path], object], str, int]] = {
    "a bit of the full": (lambda d: flip(d / FULL), "is damaged at byte", 0),
    "a bit of a diff": (lambda d: flip(d / DIFF[0]), "is damaged at byte", 1),
    "a bit of the checksum": (lambda d: flip(d / DIFF[1], -1), "damaged at byte", 2),
    "cut short": (lambda d: os.truncate(d / DIFF[1], 50), "it has 50 bytes", 2),
    "longer": (lambda d: (d / DIFF[2]).open("ab").write(b"x"), "and its manifest records", 3),
    "missing": (lambda d: (d / DIFF[0]).unlink(), "is missing, its manifest is there", 1),
    "manifest missing": (lambda d: (d / f"{DIFF[1]}.json").unlink(), "has no manifest", 2),
    "manifest damaged": (lambda d: flip(d / f"{DIFF[0]}.json"), "does not agree with its checksum", 1),
    "both missing": (
        lambda d: [(d / f"{DIFF[1]}{s}").unlink() for s in ("", ".json")],
        "no archive leads there",
        3,
    ),
    "swapped": (swap, "and its manifest records", 1),
    "swapped with their sizes": (swap_with_sizes, "is not the one asked for: its from-snapshot", 1),
    "of another snapshot": (rejoin, "they do not join", 2),
    "of another volume": (
        lambda d: restate(
            d, DIFF[2], identity={**read_json(str(d / f"{DIFF[2]}.json"))["identity"], "image_id": "x"}
        ),
        "was put there by hand",
        3,
    ),
    "another digest on record": (lambda d: restate(d, FULL, image_digest="0" * 64), "on record is", 0),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_each_kind_of_damage_is_named_and_what_does_not_need_it_is_proved(
    modules: Modules, spec: ImageSpec, kind: str
) -> None:
    directory = history.volume_directory(modules)
    damage, words, first = DAMAGE[kind]
    damage(directory)
    result = modules.verify()
    assert result["failed"]
    (failure,) = result["failures"]
    assert words in failure["message"]
    assert any(one["file"].startswith("gfs-") and words in one["message"] for one in failure["defects"])
    lost = [name(0)] if kind == "another digest on record" else [name(number) for number in range(first, 4)]
    if kind == "both missing":
        assert failure["restore_points"] == [name(3)]
    else:
        assert failure["restore_points"] == lost
    found = results(result)
    assert {point for point, word in found.items() if word == "proved"} == set(found) - set(
        failure["restore_points"]
    )
    if "at byte" in words or kind == "swapped with their sizes":
        assert isinstance(failure["defects"][0]["byte"], int)
    damaged = {one["file"] for one in failure["defects"] if one["kind"] != "missing"}
    good = set(history.archives(modules)) - damaged
    assert kind == "another digest on record" or {
        f for f in good if (directory / f"{f}.json").exists()
    } == set(proof(modules)["hashed"])


def test_every_bit_flip_and_every_cut_is_found(modules: Modules, spec: ImageSpec) -> None:
    directory = history.volume_directory(modules)
    file = directory / DIFF[0]
    good = file.read_bytes()
    step = max(1, len(good) // 12)
    for position in range(0, len(good), step):
        flip(file, position)
        assert modules.verify()["failures"][0]["restore_points"] == [name(1), name(2), name(3)]
        file.write_bytes(good[:position])
        assert modules.verify()["failures"][0]["restore_points"] == [name(1), name(2), name(3)]
        file.write_bytes(good)
    assert "failed" not in modules.verify()


def test_a_damaged_archive_no_longer_counts_as_hashed(modules: Modules, spec: ImageSpec) -> None:
    modules.verify()
    assert FULL in proof(modules)["hashed"]
    flip(history.volume_directory(modules) / FULL)
    modules.verify()
    assert FULL not in proof(modules)["hashed"]


def test_storage_that_does_not_answer_is_no_proof_of_damage(
    modules: Modules, spec: ImageSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fails with EIO cannot be had here: what reads it is made to fail."""
    original = os.read

    def fail(descriptor: int, size: int) -> bytes:
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith(DIFF[0]):
            raise OSError(5, "Input/output error")
        return original(descriptor, size)

    modules.verify()
    monkeypatch.setattr(os, "read", fail)
    result = modules.verify()
    assert "Input/output error" in result["failures"][0]["message"]
    assert results(result) == {name(0): "proved", **{name(number): "unknown" for number in (1, 2, 3)}}
    assert DIFF[0] in proof(modules)["hashed"]


def test_offline_needs_no_ceph_and_no_right_to_write(
    modules: Modules, spec: ImageSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules.verify()
    before = history.files(modules)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CEPH_CONF", "/nowhere")
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    with another_process(VolumeLock(str(history.volume_directory(modules))).__enter__):
        result = modules.verify(kubeconfig=None)
    monkeypatch.undo()
    assert "failed" not in result, result
    assert "could not be noted" in str(result["warnings"])
    assert not result["volumes"][0]["recorded"]
    assert history.files(modules) == before


def test_chosen_volumes_and_all_and_a_damaged_one_that_stops_no_other(
    modules: Modules, images: Images, spec: ImageSpec
) -> None:
    other = images.create()
    modules.snapshot([spec, other], time=day(5))
    modules.backup([spec, other])
    assert [entry["claim"] for entry in modules.verify()["volumes"]] == ["data-0", "data-1"]
    only = modules.verify(volumes=[volume(other)])
    assert [entry["image"] for entry in only["volumes"]] == [str(other)]
    directory = next(p.parent for p in modules.set_path.rglob("volume.json") if spec.image in str(p))
    flip(directory / FULL)
    result = modules.verify(parallel=1)
    assert [item["image"] for item in result["failures"]] == [str(spec)]
    assert {p["result"] for p in result["volumes"][1]["restore_points"]} == {"proved"}
    (directory / "volume.json").write_text("{")
    assert "volume.json" in modules.verify()["msg"]
    shutil.rmtree(directory)
    absent = images.create()
    assert any("never backed up" in line for line in modules.verify(volumes=[volume(absent)])["table"])


def test_a_sample_takes_the_volumes_in_turn(modules: Modules, images: Images, reads: list[str]) -> None:
    specs = [images.create() for _number in range(4)]
    for spec in specs:
        images.change(spec, ("write", 0, MIB, 1))
    modules.snapshot(specs)
    modules.backup(specs)
    taken = []
    for _run in range(4):
        result = modules.verify(mode="sample", sample_share=26)
        taken += [entry["image"] for entry in result["volumes"] if entry["restore_points"]]
        for file in modules.set_path.rglob("proof.json"):
            postpone(file)
    assert sorted(taken) == sorted(map(str, specs))
    reads.clear()
    assert modules.verify(mode="sample", sample_days=30)["archive_bytes"] == 0
    assert reads == []
    assert len(results_of_all(modules.verify(mode="sample", sample_days=1))) == 4


def postpone(proof_file: pathlib.Path) -> None:
    """Make all proofs of a volume a minute younger, so that their dates tell whose turn it is."""
    content = read_json(str(proof_file))
    for part in ("hashed", "image_digests"):
        for entry in content[part].values():
            entry["at"] = format_utc(parse_utc(entry["at"]) + dt.timedelta(minutes=1))
    atomic_write_json(str(proof_file), content, "")


def results_of_all(result: dict[str, t.Any]) -> list[str]:
    return [point["result"] for entry in result["volumes"] for point in entry["restore_points"]]


@pytest.fixture(params=["local", "toolbox"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_deep_compares_the_newest_and_one_more_in_turn_with_the_live_snapshots(
    modules_each_way: Modules, images: Images, reads: list[str]
) -> None:
    modules = modules_each_way
    spec = history.backed_up(images, modules, 4)
    preview = modules.verify(mode="deep", check_mode=True)
    assert preview["ceph_bytes"] == 2 * history.SIZE
    turns = []
    for _run in range(3):
        reads.clear()
        result = modules.verify(mode="deep")
        assert "failed" not in result, result
        assert len(reads) == len(set(reads))
        assert all(point["compared"] for point in result["volumes"][0]["restore_points"])
        turns.append(sorted(results(result)))
    assert turns == [[name(number), name(3)] for number in range(3)]
    assert sorted(proof(modules)["compared"]) == [name(number) for number in range(4)]
    images.rbd(spec, "snap", "rm", "--snap", name(1), "--no-progress")
    result = modules.verify(mode="deep", restore_points=["all"])
    assert result["volumes"][0]["not_compared"] == [name(1)]
    assert "no volume has" in modules.verify(mode="deep", restore_points=["gfs-20200101T000000Z"])["msg"]
    assert "needs the option ceph" in modules.verify(mode="deep", ceph=None)["msg"]


def test_deep_finds_an_archive_that_is_consistent_and_not_what_the_snapshot_is(
    modules: Modules, images: Images
) -> None:
    """The archives of one image with the manifests of another, whose only fault is one byte of another value."""
    one, other = images.create(history.SIZE), images.create(history.SIZE)
    for spec, seed in ((one, 1), (other, 1)):
        images.change(spec, ("write", 0, MIB, seed))
    images.change(other, ("write", 5 * MIB + 512, 1, 7))
    modules.snapshot([one, other], time=day(0))
    modules.backup([one, other])
    here, there = (
        next(p.parent for p in modules.set_path.rglob("volume.json") if spec.image in str(p))
        for spec in (one, other)
    )
    manifest = read_json(str(there / f"{FULL}.json"))
    mine = read_json(str(here / f"{FULL}.json"))
    shutil.copy(there / FULL, here / FULL)
    manifest.update({key: mine[key] for key in ("identity", "pool", "image", "to")})
    assert Manifest.from_json(manifest, "")
    atomic_write_json(str(here / f"{FULL}.json"), manifest, "")
    assert "failed" not in modules.verify()
    result = modules.verify(mode="deep")
    (failure,) = result["failures"]
    assert failure["image"] == str(one)
    (defect,) = failure["defects"]
    assert (defect["file"], defect["byte"]) == (FULL, 5 * MIB + 512)
    assert proof(modules_of(modules, here))["compared"] == {}


def modules_of(modules: Modules, directory: pathlib.Path) -> Modules:
    """The same modules with only the volume of *directory* in their set."""
    for file in list(modules.set_path.rglob("volume.json")):
        if file.parent != directory:
            shutil.rmtree(file.parent)
    return modules


def lose_manifests(modules: Modules, way: str) -> None:
    for manifest in history.volume_directory(modules).glob("gfs-*.json"):
        if way == "missing":
            manifest.unlink()
        else:
            flip(manifest, 30)


@pytest.mark.parametrize("way", ["missing", "damaged"])
def test_lost_manifests_are_rebuilt_and_every_restore_point_is_what_it_was(
    modules: Modules, images: Images, spec: ImageSpec, way: str
) -> None:
    good = {
        point["name"]: point["image_digest"] for point in modules.verify()["volumes"][0]["restore_points"]
    }
    (history.volume_directory(modules) / "proof.json").unlink()
    lose_manifests(modules, way)
    before = history.files(modules)
    preview = modules.verify(rebuild_manifests=True, check_mode=True)
    assert preview["changed"]
    assert preview["volumes"][0]["rebuilt"] == history.archives(modules)
    assert history.files(modules) == before
    assert modules.verify()["failed"]
    result = modules.verify(rebuild_manifests=True)
    assert "failed" not in result, result
    assert result["changed"]
    assert {point["name"]: point["image_digest"] for point in result["volumes"][0]["restore_points"]} == good
    assert not modules.verify(rebuild_manifests=True)["changed"]
    assert history.restored(images, modules, name(3)) == images.read(spec, name(3))
    assert modules.info()["volumes"][0]["restore_points"][0]["rebuilt"]


@pytest.mark.parametrize("way", ["missing", "damaged"])
def test_a_rebuilt_restore_point_is_exported_again_unless_it_was_compared(
    modules: Modules, images: Images, way: str
) -> None:
    spec = history.backed_up(images, modules, 2)
    modules.verify(mode="deep", restore_points=["all"])
    lose_manifests(modules, way)
    modules.verify(rebuild_manifests=True)
    history.age(images, spec, [2])
    planned = modules.backup([spec], check_mode=True)["archives"]
    assert [(item["snapshot"], item["kind"]) for item in planned] == [
        (name(0), "full"),
        (name(1), "diff"),
        (name(2), "diff"),
    ]
    assert "not compared with Ceph" in planned[0]["reason"]
    result = modules.verify(mode="deep", restore_points=["all"])
    assert "failed" not in result, result
    (made,) = modules.backup([spec])["archives"]
    assert (made["kind"], made["base"]) == ("diff", name(1))
    assert not modules.backup([spec])["changed"]
    kept = modules.consolidate([spec], retention={"daily": 2, "weekly": 0, "monthly": 0}, time=day(3))
    assert "failed" not in kept, kept
    history.all_equal(images, modules, spec, [name(1), name(2)])


def test_a_rebuilt_restore_point_that_was_not_compared_is_healed_by_the_next_backup(
    modules: Modules, images: Images
) -> None:
    spec = history.backed_up(images, modules, 3)
    lose_manifests(modules, "damaged")
    modules.verify(rebuild_manifests=True)
    images.rbd(spec, "snap", "rm", "--snap", name(1), "--no-progress")
    result = modules.backup([spec])
    assert [(item["snapshot"], item["base"]) for item in result["archives"]] == [
        (name(0), None),
        (name(2), name(0)),
    ]
    assert not modules.backup([spec])["archives"], "only tidies up"
    assert not modules.backup([spec])["changed"]
    kept = modules.consolidate([spec], retention={"daily": 9}, time=day(3))
    assert "failed" not in kept, kept
    assert not modules.backup([spec])["changed"]
    history.all_equal(images, modules, spec, [name(0), name(2)])
    points = modules.info()["volumes"][0]["restore_points"]
    assert [point["rebuilt"] for point in points] == [False, True, False]


@pytest.mark.parametrize(
    ("damage", "words", "rebuilt"),
    [
        (lambda d: flip(d / FULL), ["damaged at byte", "no archive that is recorded leads there"], []),
        (
            lambda d: shutil.copy(d / DIFF[2], d / DIFF[0]),
            ["which is not what its name says", "no archive that is recorded leads there"],
            [FULL],
        ),
    ],
)
def test_what_is_not_whole_or_another_s_is_not_rebuilt(
    modules: Modules,
    spec: ImageSpec,
    damage: t.Callable[[pathlib.Path], object],
    words: list[str],
    rebuilt: list[str],
) -> None:
    lose_manifests(modules, "missing")
    damage(history.volume_directory(modules))
    result = modules.verify(rebuild_manifests=True)
    assert result["failed"]
    assert result["volumes"][0]["rebuilt"] == rebuilt
    assert all(word in str(result["warnings"]) for word in words)
