# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restores into raw files, by the module's action and by scripts/restore.py, and contents to restore."""

from __future__ import annotations

import pathlib
import random
import subprocess
import sys
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions import restore
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.environment import Environment, Outcome
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._actions.backup_of_contents import (
    MIB,
    BackupOfContents,
)
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._archive import (
    archive_samples as samples,
)

SCRIPT = pathlib.Path(__file__).resolve().parents[5] / "scripts" / "restore.py"
FIRST, SECOND, THIRD = (samples.snapshot(day) for day in (1, 2, 3))


def content(seed: int, size: int = 4 * MIB) -> bytes:
    """A thin image: 64 KiB of data somewhere in it, and in its last bytes."""
    noise = random.Random(seed)
    made = bytearray(size)
    made[seed * 8192 : seed * 8192 + 65536] = noise.randbytes(65536)
    made[-100:] = noise.randbytes(100)
    return bytes(made)


def _environment(backup: BackupOfContents, check_mode: bool = False, **options: t.Any) -> Environment:
    target = {"image": None, "raw": None, "pool": None, "rados_namespace": None, "data_pool": None}
    target.update({"metadata": False, "overwrite": False}, **options.pop("target", {}))
    defaults = {
        "root": str(backup.root),
        "cluster": "lab",
        "prefix": None,
        "namespace": "shop",
        "claim": None,
        "workload": None,
    }
    defaults.update({"directory": None, "image_ids": None, "restore_point": "latest", "parallel": 2})
    defaults["accept_unproved"] = False
    return Environment({**defaults, "manifests": None, "target": target, **options}, check_mode)


def run(backup: BackupOfContents, raw: pathlib.Path | str, **options: t.Any) -> Outcome:
    """Carry out rbd_restore into the file *raw*, with the options of a task."""
    return restore.run(_environment(backup, target={"raw": str(raw)}, **options))


def script(
    *arguments: object, path: str = "/nonexistent", python: t.Sequence[str] = ()
) -> subprocess.CompletedProcess[bytes]:
    """Run scripts/restore.py with *path* as PATH; ``-S`` in *python* leaves it no library but Python's own."""
    command = [sys.executable, "-I", *python, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, env={"PATH": path}, check=False, capture_output=True)
