# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk that is full or read-only: a clear error, nothing half-written, and everything there before untouched.

On a real file system of 1 MiB, which only root can mount.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.backup_set import BackupSet
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.lock import VolumeLock
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.proof import (
    Proof,
    load_proof,
    save_proof,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.verify import verify_archive
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.volume_directory import VolumeDirectory
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import ArchiveError
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._archive import (
    archive_samples as samples,
)


def fill(path: pathlib.Path, leave: int) -> None:
    """Fill the file system in *path* up to *leave* bytes."""
    free = os.statvfs(path)
    with open(path / "filler", "wb") as file:
        file.write(bytes(free.f_bavail * free.f_bsize - leave))


def remount(path: pathlib.Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(path)], check=True)


def contents(directory: VolumeDirectory) -> dict[str, bytes]:
    return {entry.name: pathlib.Path(entry.path).read_bytes() for entry in os.scandir(directory.path)}


# 18 pages are needed: none is left, too few for the archive, or one too few, so that the manifest does not fit
@pytest.mark.parametrize("leave", [0, 4096, 40_960, 65_536, 69_632])
def test_a_disk_that_runs_full(disk: pathlib.Path, leave: int) -> None:
    directory = samples.volume_directory(disk)
    first = samples.publish(directory.path, 1)
    before = contents(directory)
    fill(disk, leave)
    with pytest.raises(ArchiveError, match="No space left on device") as caught:
        samples.publish(directory.path, 2, 1)
    assert "untouched" in caught.value.message
    assert "Make room" in caught.value.message
    assert caught.value.details["errno"] == "ENOSPC"
    assert contents(directory) == before
    verify_archive(directory.path, first)
    os.unlink(disk / "filler")
    samples.publish(directory.path, 2, 1)
    assert len(directory.archives("gfs").archives) == 2


def test_replacing_an_archive_on_a_full_disk_leaves_the_old_one(disk: pathlib.Path) -> None:
    directory = samples.volume_directory(disk)
    first = samples.publish(directory.path, 1)
    before = contents(directory)
    fill(disk, 69_632)
    with pytest.raises(ArchiveError, match="No space left"):
        samples.publish(directory.path, 1, seed=9)
    assert contents(directory) == before
    assert directory.archives("gfs").archives == (first,)


def test_records_on_a_full_disk_keep_what_they_held(disk: pathlib.Path) -> None:
    before, after = Proof(), Proof()
    before.retire("gfs-20261101T170000Z", 101, samples.NOON)
    backup_set, _changed = BackupSet.init(str(disk / "prod"), samples.FSID, "gfs", "UTC")
    save_proof(str(disk), before)
    fill(disk, 0)
    with pytest.raises(ArchiveError, match="The proofs recorded before were left untouched"):
        save_proof(str(disk), after)
    assert load_proof(str(disk)) == before
    with pytest.raises(ArchiveError, match="No space left"):
        backup_set.record_consolidation({}, "UTC")
    assert backup_set.timezone == BackupSet.open(str(disk / "prod")).timezone != ""
    before_it: dict[str, t.Any] = {"volume": {}, "image": {}, "manifests": {}}
    directory = VolumeDirectory(str(disk), samples.IDENTITY, before_it, samples.NOON)
    with pytest.raises(ArchiveError, match="No space left"):
        directory.update_description({"volume": {}, "image": {"size": 1}, "manifests": {}})
    assert directory.description["image"] == {}
    assert sorted(os.listdir(disk)) == ["filler", "prod", "proof.json"]


def test_removing_works_on_a_full_disk(disk: pathlib.Path) -> None:
    directory = samples.volume_directory(disk)
    archive = samples.publish(directory.path, 1)
    fill(disk, 0)
    directory.remove_archive(archive)
    assert sorted(os.listdir(directory.path)) == ["volume.json"]


def test_a_read_only_disk(disk: pathlib.Path) -> None:
    directory = samples.volume_directory(disk)
    archive = samples.publish(directory.path, 1)
    remount(disk, "ro")
    attempts: list[t.Callable[[], object]] = [
        lambda: samples.publish(directory.path, 2, 1),
        lambda: directory.remove_archive(archive),
        VolumeLock(directory.path).__enter__,
        lambda: save_proof(directory.path, _changed()),
        lambda: BackupSet.init(str(disk / "prod"), samples.FSID, "gfs", "UTC"),
    ]
    for attempt in attempts:
        with pytest.raises(ArchiveError, match="Read-only file system") as caught:
            attempt()
        assert caught.value.details["kind"] == "unwritable"
    assert directory.archives("gfs").archives == (archive,)
    verify_archive(directory.path, archive)
    remount(disk, "rw")


def _changed() -> Proof:
    proof = Proof()
    proof.retire("x", 1, samples.NOON)
    return proof
