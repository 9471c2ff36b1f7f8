# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk that is soon full, for the tests of all rooms."""

from __future__ import annotations

import pathlib
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils.mounts import memory


@pytest.fixture
def disk(tmp_path: pathlib.Path) -> t.Iterator[pathlib.Path]:
    """A real file system of 1 MiB and few files."""
    with memory(tmp_path / "disk", "1m") as path:
        yield path
