# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of rbd_backup_verify share: the archives of four days, and looking at what was proved."""

from __future__ import annotations

import json
import os
import pathlib
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive import verify as reading
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.files import (
    atomic_write_json,
    read_json,
)
from ansible_collections.rbd_backup.gfs.tests.integration import history
from ansible_collections.rbd_backup.gfs.tests.integration.history import name
from ansible_collections.rbd_backup.gfs.tests.integration.modules import Modules

FULL = f"{name(0)}.full.zst"
DIFF = [f"{name(number)}.from-{name(number - 1)}.diff.zst" for number in (1, 2, 3)]


def archives_read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The archives that are opened for reading from now on, in their order."""
    opened: list[str] = []
    original = reading._StoredFile.__init__

    def count(self: t.Any, path: str) -> None:
        opened.append(os.path.basename(path))
        original(self, path)

    monkeypatch.setattr(reading._StoredFile, "__init__", count)
    return opened


def proof(modules: Modules) -> dict[str, t.Any]:
    """What is noted in proof.json of the only volume."""
    content: dict[str, t.Any] = json.loads((history.volume_directory(modules) / "proof.json").read_text())
    return content


def results(result: dict[str, t.Any]) -> dict[str, str]:
    """The result by restore point of the only volume."""
    (entry,) = result["volumes"]
    return {point["name"]: point["result"] for point in entry["restore_points"]}


def flip(file: pathlib.Path, position: int = -40) -> None:
    """Change one bit of *file*."""
    content = bytearray(file.read_bytes())
    content[position] ^= 1
    file.write_bytes(content)


def restate(directory: pathlib.Path, file: str, **changes: t.Any) -> None:
    """Write a manifest whose own checksum is right and that says something else."""
    path = str(directory / f"{file}.json")
    atomic_write_json(path, {**read_json(path), **changes}, "")
