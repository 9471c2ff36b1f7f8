# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each kind of damage to a backup is found by rbd_backup_verify and named, and nothing else is called damaged."""

from __future__ import annotations

import os
import pathlib
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.files import read_json
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec
from ansible_collections.rbd_backup.gfs.tests.integration import history
from ansible_collections.rbd_backup.gfs.tests.integration.history import name
from ansible_collections.rbd_backup.gfs.tests.integration.modules import Modules
from ansible_collections.rbd_backup.gfs.tests.integration.verifying import (
    DIFF,
    FULL,
    flip,
    proof,
    restate,
    results,
)


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
    "manifest damaged": (
        lambda d: flip(d / f"{DIFF[0]}.json"),
        "does not agree with its checksum",
        1,
    ),
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
            d,
            DIFF[2],
            identity={**read_json(str(d / f"{DIFF[2]}.json"))["identity"], "image_id": "x"},
        ),
        "was put there by hand",
        3,
    ),
    "another digest on record": (
        lambda d: restate(d, FULL, image_digest="0" * 64),
        "on record is",
        0,
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_each_kind_of_damage_is_named_and_what_does_not_need_it_is_proved(
    modules: Modules, four_days: ImageSpec, kind: str
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


def test_every_bit_flip_and_every_cut_is_found(modules: Modules, four_days: ImageSpec) -> None:
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


def test_a_damaged_archive_no_longer_counts_as_hashed(modules: Modules, four_days: ImageSpec) -> None:
    modules.verify()
    assert FULL in proof(modules)["hashed"]
    flip(history.volume_directory(modules) / FULL)
    modules.verify()
    assert FULL not in proof(modules)["hashed"]


def test_storage_that_does_not_answer_is_no_proof_of_damage(
    modules: Modules, four_days: ImageSpec, monkeypatch: pytest.MonkeyPatch
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
    assert results(result) == {
        name(0): "proved",
        **{name(number): "unknown" for number in (1, 2, 3)},
    }
    assert DIFF[0] in proof(modules)["hashed"]
