# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a drill takes for left over in a scratch directory, which may be one that others write to as well."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions import drill_directory
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.environment import Environment, Outcome


def run(scratch: pathlib.Path, maker: int = 0, check_mode: bool = False) -> Outcome:
    return drill_directory.run(Environment({"scratch": str(scratch), "maker": maker}, check_mode))


def left(scratch: pathlib.Path) -> pathlib.Path:
    """The directory of a drill that was killed."""
    command = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()", "ansible-playbook"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as maker:
        assert maker.stdout
        maker.stdout.readline()
        made = pathlib.Path(run(scratch, maker.pid).values["path"])
        (made / "x.raw").write_bytes(b"x")
        assert run(scratch).values["removed"] == [], "its maker is alive"
    return made


def test_what_a_dead_drill_left_is_removed_and_a_preview_says_so(tmp_path: pathlib.Path) -> None:
    made = left(tmp_path)
    assert made.stat().st_mode & 0o777 == 0o700
    preview = run(tmp_path, check_mode=True)
    assert (preview.changed, preview.values["removed"]) == (True, [str(made)])
    assert made.exists()
    assert run(tmp_path).values["removed"] == [str(made)]
    assert not made.exists()
    assert not list(tmp_path.glob("*.maker"))


def test_a_preview_says_that_a_directory_would_be_made(tmp_path: pathlib.Path) -> None:
    preview = run(tmp_path, check_mode=True)
    assert preview.changed
    assert preview.values == {"path": None, "made": [], "removed": []}
    assert list(tmp_path.iterdir()) == []


def test_a_note_of_another_user_proves_nothing(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = left(tmp_path)
    owner = os.geteuid()
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: owner + 1)
        assert run(tmp_path).values["removed"] == []
    assert (made / "x.raw").exists()


def test_a_note_for_another_directory_proves_nothing(tmp_path: pathlib.Path) -> None:
    living = pathlib.Path(run(tmp_path).values["path"])
    made = left(tmp_path)
    shutil.copy(f"{made}.maker", f"{living}.maker")
    run(tmp_path)
    assert living.exists()


@pytest.mark.parametrize("kind", ["link", "directory", "empty"])
def test_what_is_no_note_keeps_no_drill_from_its_work(tmp_path: pathlib.Path, kind: str) -> None:
    made = left(tmp_path)
    note = pathlib.Path(f"{made}.maker")
    note.rename(tmp_path / "moved")
    if kind == "link":
        note.symlink_to("moved")
    elif kind == "directory":
        note.mkdir()
    else:
        note.touch()
    assert run(tmp_path).values["removed"] == []
    assert (made / "x.raw").exists()
    # and what it may point to is not removed either
    if kind == "empty":
        (tmp_path / "moved").rename(note)
        elsewhere = tmp_path / "elsewhere"
        made.rename(elsewhere)
        made.symlink_to(elsewhere)
        (warning,) = [text for text in run(tmp_path).warnings if "cannot be removed" in text]
        assert str(made) in warning
        assert (elsewhere / "x.raw").exists()
