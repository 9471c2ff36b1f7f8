# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of restoring stand on."""

from __future__ import annotations

import pathlib
import shutil

import pytest

from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._actions.backup_of_contents import (
    BackupOfContents,
)


@pytest.fixture
def backup(tmp_path: pathlib.Path) -> BackupOfContents:
    """An empty backup set."""
    return BackupOfContents(tmp_path / "backup")


@pytest.fixture
def only_zstd(tmp_path: pathlib.Path) -> str:
    """A PATH with the program zstd and nothing else."""
    (tmp_path / "bin").mkdir()
    program = shutil.which("zstd")
    assert program
    (tmp_path / "bin" / "zstd").symlink_to(program)
    return str(tmp_path / "bin")
