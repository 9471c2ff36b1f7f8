# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The check of file systems on real ones: sound and damaged, at rest and copied while they were mounted."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import subprocess
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions import check_filesystem
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.environment import Environment, Outcome
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import BackupError, InvalidInput
from ansible_collections.rbd_backup.gfs.tests.integration.images import MIB
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils import mounts

EXT4 = ("mke2fs", "-q", "-t", "ext4")
XFS: tuple[t.Any, ...] = (320 * MIB, "mkfs.xfs", "-q")


def check(path: pathlib.Path, check_mode: bool = False, mount: bool = True) -> Outcome:
    return check_filesystem.run(Environment({"path": str(path), "mount": mount}, check_mode))


def made(tmp_path: pathlib.Path, size: int, *command: str) -> pathlib.Path:
    path = tmp_path / "x.raw"
    with open(path, "wb") as file:
        file.truncate(size)
    subprocess.run([*command, str(path)], check=True, capture_output=True)
    return path


@pytest.mark.parametrize("kind", ["ext2", "ext3", "ext4"])
def test_ext_is_told_and_checked(tmp_path: pathlib.Path, kind: str) -> None:
    path = made(tmp_path, 8 * MIB, "mke2fs", "-q", "-t", kind)
    before = path.read_bytes()
    outcome = check(path)
    assert outcome.values["filesystem"] == kind
    assert outcome.values["clean"] is True
    assert not outcome.changed
    assert path.read_bytes() == before


def test_a_damaged_ext4_is_a_failure(tmp_path: pathlib.Path) -> None:
    path = made(tmp_path, 8 * MIB, *EXT4)
    subprocess.run(["debugfs", "-w", "-R", "clri <2>", str(path)], check=True, capture_output=True)
    outcome = check(path)
    assert outcome.values["clean"] is False
    assert "damaged" in str(outcome.fatal)


def test_xfs_is_told_and_checked(tmp_path: pathlib.Path) -> None:
    path = made(tmp_path, *XFS)
    assert check(path).values["clean"] is True
    assert check(path).values["filesystem"] == "xfs"
    content = bytearray(path.read_bytes()[:4096])
    content[512:600] = bytes(88)  # the header of the free space of the first group
    with open(path, "r+b") as file:
        file.write(content)
    damaged = check(path)
    assert damaged.values["clean"] is False
    assert "damaged" in str(damaged.fatal)


@pytest.mark.parametrize(
    ("offset", "magic", "name"),
    [(0, b"LUKS\xba\xbe", "luks"), (0x1FE, b"\x55\xaa", "partition table"), (0, b"", None)],
)
def test_anything_else_is_reported_as_not_checked(
    tmp_path: pathlib.Path, offset: int, magic: bytes, name: str | None
) -> None:
    path = tmp_path / "x.raw"
    path.write_bytes(bytes(offset) + magic + bytes(MIB))
    outcome = check(path)
    assert outcome.fatal is None
    assert (outcome.values["filesystem"], outcome.values["checked"], outcome.values["clean"]) == (
        name,
        False,
        None,
    )


def test_a_missing_program_is_named(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = made(tmp_path, 8 * MIB, *EXT4)
    assert not check(path, check_mode=True).values["checked"]
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(check_filesystem, "_PLACES", str(tmp_path))
    with pytest.raises(InvalidInput, match="Install the package e2fsprogs"):
        check(path)


def in_use(tmp_path: pathlib.Path, size: int, *command: str, frozen: bool = False) -> pathlib.Path:
    """A copy of a file system taken while it was mounted and written to, with a file that is deleted and still open."""
    source, directory = made(tmp_path, size, *command), tmp_path / "mounted"
    directory.mkdir()
    with mounts.loop(source, directory):
        for number in range(20):
            (directory / f"f{number}").write_bytes(b"%d" % number * 10000)
        with open(directory / "deleted", "wb") as file:
            file.write(bytes(100000))
            os.fsync(file.fileno())
            (directory / "deleted").unlink()
            subprocess.run(["sync", "--file-system", str(directory)], check=True)
            with mounts.frozen(directory) if frozen else contextlib.nullcontext():
                shutil.copy(source, tmp_path / "copy.raw")
    return tmp_path / "copy.raw"


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("features", [(), ("-O", "orphan_file")])
def test_an_ext4_that_was_in_use_is_sound_once_its_journal_is_replayed(
    tmp_path: pathlib.Path, features: tuple[str, ...], frozen: bool
) -> None:
    path = in_use(tmp_path, 32 * MIB, *EXT4, *features, frozen=frozen)
    assert subprocess.run(["e2fsck", "-f", "-n", str(path)], check=False, capture_output=True).returncode == 4
    outcome = check(path)
    assert outcome.values["clean"] is True, outcome.values
    assert outcome.changed
    assert outcome.values["finished"]
    assert not check(path).changed


def test_an_ext4_that_was_in_use_and_is_damaged_is_a_failure(tmp_path: pathlib.Path) -> None:
    path = in_use(tmp_path, 32 * MIB, *EXT4)
    unlinked = tmp_path / "unlinked.raw"
    shutil.copy(path, unlinked)
    with open(path, "r+b") as file:
        file.seek(4096)  # the descriptors of all groups, which the journal of the last seconds does not hold
        file.write(bytes(4096))
    subprocess.run(["e2fsck", "-p", str(unlinked)], check=False, capture_output=True)
    subprocess.run(["debugfs", "-w", "-R", "clri f7", str(unlinked)], check=True, capture_output=True)
    for damaged in (path, unlinked):
        outcome = check(damaged)
        assert outcome.values["clean"] is False, outcome.values
        assert outcome.fatal


@pytest.mark.parametrize("frozen", [False, True])
def test_an_xfs_that_was_in_use_is_mounted_for_a_moment_and_then_judged(
    tmp_path: pathlib.Path, frozen: bool
) -> None:
    path = in_use(tmp_path, *XFS, frozen=frozen)
    before = path.read_bytes()
    unmounted = check(path, mount=False)
    assert (unmounted.values["checked"], unmounted.values["clean"]) == (False, None)
    assert "log was not replayed" in unmounted.warnings[0]
    assert path.read_bytes() == before
    outcome = check(path)
    assert outcome.values["clean"] is True, outcome.values
    assert outcome.changed
    assert not check(path, mount=False).changed
    loops = subprocess.run(["losetup", "--list", "--noheadings"], check=True, capture_output=True)
    assert str(path) not in loops.stdout.decode()


def test_an_xfs_that_was_in_use_and_is_damaged_is_a_failure(tmp_path: pathlib.Path) -> None:
    path = in_use(tmp_path, *XFS, frozen=True)  # else the log makes good what is written here
    refused, lost = tmp_path / "refused.raw", tmp_path / "lost.raw"
    for copy, place, words in (
        (refused, "agf 0", "write -d magicnum 0"),
        (lost, "inode 140", "write -d core.nlinkv2 9"),
    ):
        shutil.copy(path, copy)
        subprocess.run(
            ["xfs_db", "-x", "-f", "-c", place, "-c", words, str(copy)], check=True, capture_output=True
        )
    assert "cannot be replayed" in str(check(refused).fatal)
    assert "is damaged (xfs_repair)" in str(check(lost).fatal)


def test_an_xfs_that_cannot_be_mounted_here_is_a_failure_that_says_what_to_do(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = in_use(tmp_path, *XFS)
    unshare = tmp_path / "unshare"  # as in a container without the right to mount
    unshare.write_text(f'#!/bin/sh\nexec setpriv --bounding-set=-sys_admin {shutil.which("unshare")} "$@"\n')
    unshare.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(BackupError, match=r"Operation not permitted.*rbd_drill_mount"):
        check(path)
