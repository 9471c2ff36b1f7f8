# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Three months of daily snapshots, consolidated every Monday by both methods: no byte is ever another one."""

from __future__ import annotations

import contextlib
import hashlib
import pathlib
import random
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.backup_set import BackupSet
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.chain import chain
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.verify import open_stream
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.volume_directory import VolumeDirectory
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.merge import merge
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.raw import write_raw
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.reader import DiffReader
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec
from ansible_collections.rbd_backup.gfs.tests.integration import history
from ansible_collections.rbd_backup.gfs.tests.integration.history import day, name
from ansible_collections.rbd_backup.gfs.tests.integration.images import KIB, MIB, Images
from ansible_collections.rbd_backup.gfs.tests.integration.modules import Modules

DAYS = 92  # from Thursday, 1 January, to Thursday, 2 April
SIZE = 8 * MIB
METHODS = ("reexport", "merge")


def changes(number: int) -> list[tuple[t.Any, ...]]:
    """What happens to the data on a day, the same to every image: writes, zeros, discards, growth and a shrink."""
    rng = random.Random(number)
    size = SIZE + (4 * MIB if 30 <= number < 60 else 0)
    operations: list[tuple[t.Any, ...]] = [("resize", size)] if number in (30, 60) else []
    for _again in range(4):
        offset = rng.randrange(0, size - 256 * KIB)
        kind = rng.choice(("write", "write", "zeros", "discard"))
        length = rng.randrange(1, 256 * KIB)
        operations.append((kind, offset, length, number) if kind == "write" else (kind, offset, length))
    return [*operations, ("snapshot", name(number))]


def digest_of_chain(directory: VolumeDirectory, prefix: str, point: str, file: pathlib.Path) -> str:
    """SHA-256 of the image that the archives lead to, every byte of it."""
    found = chain(directory.archives(prefix).archives, point)
    assert found, point
    with contextlib.ExitStack() as stack:
        merged = merge([DiffReader(stack.enter_context(open_stream(directory.path, a))) for a in found])
        with file.open("w+b") as raw:
            write_raw(merged.records, merged.header.size, raw)
    with file.open("rb") as raw:
        return hashlib.file_digest(raw, "sha256").hexdigest()


def test_every_restore_point_is_what_it_was_after_every_consolidation(
    modules: Modules, images: Images, tmp_path: pathlib.Path
) -> None:
    specs: dict[str, ImageSpec] = {method: images.create(SIZE) for method in METHODS}
    contents: dict[str, str] = {}
    compared = 0
    for monday in range(4, DAYS, 7):
        week = range(max(monday - 7, 0), monday)
        for spec in specs.values():
            images.change(spec, *(operation for number in week for operation in changes(number)))
        for number in week:
            taken = images.read(specs["reexport"], name(number))
            contents[name(number)] = hashlib.sha256(taken).hexdigest()
        assert "failed" not in modules.backup(list(specs.values()))
        for method, spec in specs.items():
            result = modules.consolidate([spec], method=method, time=day(monday))
            assert "failed" not in result, result
            (plan,) = result["plans"]
            kept = [point["name"] for point in plan["restore_points"] if point["keep"]]
            assert history.snapshots(images, spec) == kept
            backup_set = BackupSet.open(str(modules.set_path))
            (directory,) = [
                found
                for found in backup_set.scan().volumes
                if found.description["volume"]["image"] == spec.image
            ]
            for point in kept:
                found = digest_of_chain(directory, "gfs", point, tmp_path / "raw")
                assert found == contents[point], (method, monday, point)
                compared += 1
    assert compared > 200
    assert history.snapshots(images, specs["merge"]) == history.snapshots(images, specs["reexport"])
    for number, spec in enumerate(specs.values()):
        for point in history.snapshots(images, spec)[::5]:
            restored = history.restored(images, modules, point, f"data-{number}")
            assert restored == images.read(spec, point)
