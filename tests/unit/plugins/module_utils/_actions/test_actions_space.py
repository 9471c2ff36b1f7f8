# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Room for archives, on a real file system of 1 MiB, which only root can mount."""

from __future__ import annotations

import pathlib
import subprocess
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.space import Space
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import ArchiveError

KIB = 1024


@pytest.fixture
def disk(tmp_path: pathlib.Path) -> t.Iterator[pathlib.Path]:
    """A file system with about 1 MiB free."""
    path = tmp_path / "disk"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "none", str(path)], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)


def nothing() -> int:
    return 0


def test_what_fits_and_what_does_not(disk: pathlib.Path) -> None:
    space = Space(100 * KIB)
    with space.hold(str(disk), 900 * KIB, nothing):
        pass
    with pytest.raises(ArchiveError, match=rf"{26 * KIB} bytes are missing") as refused:
        with space.hold(str(disk), 950 * KIB, nothing):
            pass
    assert refused.value.details["missing_bytes"] == 26 * KIB


def test_what_is_free_already_must_stay_free_also_for_an_archive_of_unknown_size(disk: pathlib.Path) -> None:
    with Space(1000 * KIB).hold(str(disk), None, nothing):
        pass
    with pytest.raises(ArchiveError, match="size of the archive is not known"):
        with Space(2000 * KIB).hold(str(disk), None, nothing):
            pass


def test_two_at_a_time_do_not_count_on_the_same_room(disk: pathlib.Path) -> None:
    space = Space(0)
    with space.hold(str(disk), 600 * KIB, nothing):
        with pytest.raises(ArchiveError, match="other exports of this run"):
            with space.hold(str(disk), 600 * KIB, nothing):
                pass
    with space.hold(str(disk), 600 * KIB, nothing):
        pass


def test_what_another_has_stored_is_not_counted_twice(disk: pathlib.Path) -> None:
    space = Space(0)
    file = disk / "archive"
    with space.hold(str(disk), 600 * KIB, lambda: file.stat().st_size):
        file.write_bytes(bytes(500 * KIB))
        with space.hold(str(disk), 400 * KIB, nothing):
            pass
        file.write_bytes(bytes(700 * KIB))  # more than was expected
        with pytest.raises(ArchiveError):
            with space.hold(str(disk), 400 * KIB, nothing):
                pass


def test_one_that_fails_gives_its_room_back(disk: pathlib.Path) -> None:
    space = Space(0)
    with pytest.raises(ZeroDivisionError), space.hold(str(disk), 900 * KIB, nothing):
        raise ZeroDivisionError
    with space.hold(str(disk), 900 * KIB, nothing):
        pass


def test_another_file_system_has_room_of_its_own(disk: pathlib.Path, tmp_path: pathlib.Path) -> None:
    space = Space(0)
    with space.hold(str(disk), 900 * KIB, nothing), space.hold(str(tmp_path), 900 * KIB, nothing):
        pass


def test_a_directory_that_is_gone_is_an_error_in_words(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ArchiveError, match="look for room"):
        with Space(0).hold(str(tmp_path / "gone"), 1, nothing):
            pass
