# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A volume with a history in Ceph and in the backup directory, and what must be true of both."""

from __future__ import annotations

import datetime as dt
import json
import os
import pathlib
import shlex
import subprocess
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec
from ansible_collections.rbd_backup.gfs.tests.integration.images import KIB, MIB, Images
from ansible_collections.rbd_backup.gfs.tests.integration.modules import Modules

SIZE = 16 * MIB
FIRST_DAY = dt.datetime(2026, 1, 1, 16, tzinfo=dt.timezone.utc)  # 17:00 in Berlin, a Thursday


def day(number: int) -> str:
    """The time of the snapshot of a day; the first day is number 0."""
    return (FIRST_DAY + dt.timedelta(days=number)).strftime("%Y-%m-%dT%H:%M:%SZ")


def name(number: int) -> str:
    """The name of the snapshot of a day."""
    return (FIRST_DAY + dt.timedelta(days=number)).strftime("gfs-%Y%m%dT%H%M%SZ")


def changes(number: int) -> list[tuple[t.Any, ...]]:
    """What happens to the data on a day, differently on each."""
    return [
        ("write", (number * 3 % 13) * MIB + 512 * number, 300 * KIB, number),
        ("discard", (number * 5 % 13) * MIB, 700 * KIB),
        ("zeros", (number * 7 % 15) * MIB + 4096, 64 * KIB),
    ]


def live(images: Images, modules: Modules, spec: ImageSpec, days: t.Iterable[int]) -> None:
    """Let the data change, take a snapshot and back it up, on each of the *days*, as one run of ours a day does."""
    for number in days:
        images.change(spec, *changes(number))
        assert modules.snapshot([spec], time=day(number))["changed"]
        assert "failed" not in modules.backup([spec])


PLANNED = ("namespace", "claim", "snapshot", "base", "kind", "reason", "estimated_bytes")
"""What a preview says of an archive."""


def as_planned(modules: Modules, specs: t.Sequence[ImageSpec], **options: t.Any) -> dict[str, t.Any]:
    """Back up, which does exactly what the preview before it said; and the preview touched nothing."""
    before = files(modules) if modules.set_path.exists() else None
    preview = modules.backup(specs, check_mode=True, **options)
    assert (files(modules) if modules.set_path.exists() else None) == before
    result = modules.backup(specs, **options)
    assert "failed" not in result, result
    for key in ("changed", "unchanged", "initialised"):
        assert preview[key] == result[key]
    assert [[item[key] for key in PLANNED] for item in preview["archives"]] == [
        [item[key] for key in PLANNED] for item in result["archives"]
    ]
    return result


def age(images: Images, spec: ImageSpec, days: t.Iterable[int]) -> None:
    """Let the data change and take a snapshot on each of the *days*, in one session."""
    images.change(spec, *(step for number in days for step in (*changes(number), ("snapshot", name(number)))))


def backed_up(images: Images, modules: Modules, days: int, *options: str) -> ImageSpec:
    """An image with so many days of history, all backed up; *options* are those of ``rbd create``."""
    spec = images.create(SIZE, *options)
    age(images, spec, range(days))
    assert len(modules.backup([spec])["archives"]) == days
    return spec


def snapshots(images: Images, spec: ImageSpec) -> list[str]:
    """The names of the image's snapshots in Ceph."""
    listed: list[dict[str, t.Any]] = json.loads(images.rbd(spec, "snap", "ls", "--format", "json"))
    return [snapshot["name"] for snapshot in listed]


def files(modules: Modules) -> dict[str, str]:
    """SHA-256 of every file of the backup set but the locks, by path."""
    done = subprocess.run(
        ["find", str(modules.set_path), "-type", "f", "!", "-name", ".lock", "-exec", "sha256sum", "{}", "+"],
        check=True,
        capture_output=True,
        text=True,
    )
    return {line[66:]: line[:64] for line in done.stdout.splitlines()}


def archives(modules: Modules) -> list[str]:
    """The archives of the only volume, by file name."""
    return sorted(path.name for path in modules.set_path.rglob("gfs-*") if path.suffix != ".json")


def directory_of(modules: Modules, spec: ImageSpec) -> pathlib.Path:
    """The directory of one volume of several."""
    (found,) = (file.parent for file in modules.set_path.rglob("volume.json") if spec.image in str(file))
    return found


def volume_directory(modules: Modules) -> pathlib.Path:
    """The directory of the only volume."""
    (file,) = modules.set_path.rglob("volume.json")
    return file.parent


def damage(modules: Modules, file: str) -> pathlib.Path:
    """Flip one bit of an archive."""
    archive = volume_directory(modules) / file
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    archive.write_bytes(content)
    return archive


def restored(images: Images, modules: Modules, point: str, claim: str = "data-0", **options: t.Any) -> bytes:
    """Restore a restore point into a new image and return its bytes."""
    target = images.name()
    result = modules.restore(target, claim, restore_point=point, **options)
    assert result.get("changed"), result
    assert result["restore_point"] == point
    assert snapshots(images, target) == []
    content = images.read(target)
    images.rbd(target, "rm", "--no-progress")
    return content


def raw(modules: Modules, point: str, directory: pathlib.Path) -> bytes:
    """Restore a restore point into a raw file, without Ceph, and return its bytes."""
    file = directory / f"{point}.raw"
    result = modules.restore_to({"raw": str(file)}, claim="data-0", restore_point=point)
    assert result.get("changed"), result
    content = file.read_bytes()
    file.unlink()
    return content


def by_hand(images: Images, modules: Modules, chain: t.Sequence[str]) -> bytes:
    """Restore a chain with nothing but zstd or its like and rbd, by the commands of the documentation."""
    target = images.create(SIZE)
    reads = {".zst": "zstdcat", ".gz": "zcat", ".diff": "cat", ".full": "cat"}
    user = {"CEPH_ARGS": f"--id {modules.ceph['user']}"}
    for file in chain:
        path = volume_directory(modules) / file
        command = f"{reads[path.suffix]} {shlex.quote(str(path))} | rbd import-diff - {target}"
        subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            check=True,
            capture_output=True,
            env={**os.environ, **user},
        )
    return images.read(target)


def all_equal(images: Images, modules: Modules, spec: ImageSpec, points: t.Iterable[str]) -> None:
    """Every restore point of *points* can be restored, and is what the live snapshot is."""
    for point in points:
        assert restored(images, modules, point) == images.read(spec, point), point
