# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A manifest that was lost and made again from its archive, and what is refused to be called one."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shutil

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.names import manifest_name
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.publish import ArchiveWriter
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.rebuild import (
    lost_manifests,
    rebuild_manifest,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.verify import verify_archive
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.volume_directory import VolumeDirectory
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import ArchiveError
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Archive
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._archive import (
    archive_samples as samples,
)


@pytest.fixture
def directory(tmp_path: pathlib.Path) -> VolumeDirectory:
    return samples.volume_directory(tmp_path)


@pytest.fixture
def archives(directory: VolumeDirectory) -> list[Archive]:
    """A full and a diff."""
    return [samples.publish(directory.path, day, day - 1 or None) for day in (1, 2)]


def manifest(directory: VolumeDirectory, archive: Archive) -> pathlib.Path:
    return pathlib.Path(directory.path, manifest_name(archive.file))


def rebuild(directory: VolumeDirectory, file: str) -> None:
    rebuild_manifest(directory, samples.PREFIX, file, samples.NOON, "1.2.3")


def lost(directory: VolumeDirectory) -> tuple[str, ...]:
    return lost_manifests(directory, directory.archives(samples.PREFIX))


@pytest.mark.parametrize("kind", ["manifest missing", "manifest damaged"])
def test_what_is_rebuilt_is_all_that_was_lost_but_the_ids(
    directory: VolumeDirectory, archives: list[Archive], kind: str
) -> None:
    for archive in archives:
        samples.damage(pathlib.Path(directory.path_of(archive)), kind)
    assert lost(directory) == tuple(archive.file for archive in archives)
    for archive in archives:
        rebuild(directory, archive.file)
    assert lost(directory) == ()
    full, diff = (
        dataclasses.replace(archive, to=without_id, rebuilt=True, image_digest=None)
        for archive in archives
        for without_id in [dataclasses.replace(archive.to, snapshot_id=None)]
    )
    inventory = directory.archives(samples.PREFIX)
    assert inventory.archives == (full, dataclasses.replace(diff, base=full.to))
    for archive in inventory.archives:
        verify_archive(directory.path, archive)
    assert len(inventory.superseded) == (2 if kind == "manifest damaged" else 0), "a damaged one is kept"


def test_only_an_archive_that_is_there_has_a_manifest_to_rebuild(
    directory: VolumeDirectory, archives: list[Archive]
) -> None:
    full, diff = archives
    samples.damage(pathlib.Path(directory.path_of(full)), "manifest damaged")
    os.unlink(directory.path_of(full))
    shutil.copy(
        manifest(directory, diff), os.path.join(directory.path, f"{samples.snapshot(3)}.full.zst.json")
    )
    assert len(directory.archives(samples.PREFIX).problems) == 2
    assert lost(directory) == ()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("flipped byte", "is damaged"),
        ("no end", "is damaged.*cut short"),
        ("another archive", "not what its name says"),
        ("base", "no archive that is recorded leads there"),
        ("name", "is not the name of an archive"),
    ],
)
def test_what_is_not_whole_or_not_what_its_name_says_is_not_rebuilt(
    directory: VolumeDirectory, archives: list[Archive], damage: str, words: str
) -> None:
    full, diff = archives
    manifest(directory, diff).unlink()
    file = diff.file
    if damage == "flipped byte":
        samples.flip(directory.path_of(diff), 500)
    elif damage == "no end":
        os.unlink(directory.path_of(diff))
        with ArchiveWriter(directory.path, diff.file) as writer:
            writer.write(samples.stream(2, 1)[:-1])
            writer.seal(samples.origin(2, 1))
            writer.publish()
        manifest(directory, diff).unlink()
    elif damage == "another archive":
        shutil.copy(directory.path_of(full), directory.path_of(diff))
    elif damage == "base":
        manifest(directory, full).unlink()
    else:
        file = "notes.txt"
    before = sorted(os.listdir(directory.path))
    with pytest.raises(ArchiveError, match=words):
        rebuild(directory, file)
    assert sorted(os.listdir(directory.path)) == before
