# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Room for archives, on a real file system of 1 MiB, which only root can mount."""

from __future__ import annotations

import pathlib

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.room import Room
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import ArchiveError

KIB = 1024
WHAT = "a test"


def test_what_fits_and_what_does_not(disk: pathlib.Path) -> None:
    room = Room(100 * KIB)
    with room.hold(str(disk), 900 * KIB, WHAT):
        pass
    with pytest.raises(ArchiveError, match=rf"{26 * KIB} bytes are missing") as refused:
        with room.hold(str(disk), 950 * KIB, WHAT):
            pass
    assert refused.value.details["missing_bytes"] == 26 * KIB


def test_what_is_free_already_must_stay_free_also_for_an_archive_of_unknown_size(disk: pathlib.Path) -> None:
    with Room(1000 * KIB).hold(str(disk), None, WHAT):
        pass
    with pytest.raises(ArchiveError, match="nobody knows how much"):
        with Room(2000 * KIB).hold(str(disk), None, WHAT):
            pass


def test_two_at_a_time_do_not_count_on_the_same_room(disk: pathlib.Path) -> None:
    room = Room(0)
    with room.hold(str(disk), 600 * KIB, WHAT):
        with pytest.raises(ArchiveError, match="other volumes of this run"):
            with room.hold(str(disk), 600 * KIB, WHAT):
                pass
    with room.hold(str(disk), 600 * KIB, WHAT):
        pass


def test_what_another_has_stored_is_not_counted_twice(disk: pathlib.Path) -> None:
    room = Room(0)
    file = disk / "archive"
    with room.hold(str(disk), 600 * KIB, WHAT, lambda: file.stat().st_size):
        file.write_bytes(bytes(500 * KIB))
        with room.hold(str(disk), 400 * KIB, WHAT):
            pass
        file.write_bytes(bytes(700 * KIB))  # more than was expected
        with pytest.raises(ArchiveError):
            with room.hold(str(disk), 400 * KIB, WHAT):
                pass


def test_one_that_fails_gives_its_room_back(disk: pathlib.Path) -> None:
    room = Room(0)
    with pytest.raises(ZeroDivisionError), room.hold(str(disk), 900 * KIB, WHAT):
        raise ZeroDivisionError
    with room.hold(str(disk), 900 * KIB, WHAT):
        pass


def test_another_file_system_has_room_of_its_own(disk: pathlib.Path, tmp_path: pathlib.Path) -> None:
    room = Room(0)
    with room.hold(str(disk), 900 * KIB, WHAT), room.hold(str(tmp_path), 900 * KIB, WHAT):
        pass


def test_a_directory_that_is_gone_is_an_error_in_words(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ArchiveError, match="look for room"):
        with Room(0).hold(str(tmp_path / "gone"), 1, WHAT):
            pass
