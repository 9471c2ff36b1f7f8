# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup set whose volumes hold what a test says, made without Ceph."""

from __future__ import annotations

import dataclasses
import pathlib
import subprocess
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.backup_set import BackupSet
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.names import archive_name
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.publish import ArchiveWriter
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.rebuild import (
    lost_manifests,
    rebuild_manifest,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.volume_directory import (
    VolumeDirectory,
    describe,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.digest import ImageDigest
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.records import (
    BLOCK,
    Data,
    Header,
    Zero,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.writer import DiffWriter
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import State, Volume
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._archive import (
    archive_samples as samples,
)

MIB = 1 << 20


class BackupOfContents:
    """The backup set ``lab`` in *root*."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root
        root.mkdir(exist_ok=True)
        self.set, _made = BackupSet.init(str(root / "lab"), samples.FSID, samples.PREFIX, "UTC")

    def add(
        self,
        claim: str,
        contents: t.Sequence[bytes],
        compression: str = "zstd",
        image_id: str | None = None,
        users: t.Sequence[str] = ("statefulset/db",),
        digest: bool = True,
        **volume: t.Any,
    ) -> pathlib.Path:
        """Back up a volume that held *contents* on day 1, 2, ...; the first archive is a full, the others are diffs."""
        image_id = image_id or f"id{claim.replace('-', '')}"
        identity = dataclasses.replace(samples.IDENTITY, image_id=image_id)
        spec = dataclasses.replace(samples.SPEC, image=f"csi-vol-{image_id}")
        what = Volume("shop", claim, spec, identity, users=tuple(users), **volume)
        info = dataclasses.replace(samples.INFO, id=image_id, size=len(contents[-1]))
        directory = self.set.create(what, describe(what, info, {}))
        for day, content in enumerate(contents, start=1):
            before = contents[day - 2] if day > 1 else None
            base = State(samples.snapshot(day - 1), 99 + day, len(before)) if before is not None else None
            file = archive_name(samples.snapshot(day), base.snapshot if base else None, compression)
            origin = dataclasses.replace(
                samples.origin(day),
                identity=identity,
                spec=spec,
                to=samples.state(day, len(content)),
                base=base,
                image_digest=image_digest(content) if base is None and digest else None,
            )
            with ArchiveWriter(directory.path, file) as writer:
                _write(DiffWriter(writer.write), day, before, content)
                writer.seal(origin)
                writer.publish()
        return pathlib.Path(directory.path)


def rebuild(path: pathlib.Path) -> None:
    """Lose every manifest and make it again: no ids, no digest."""
    for manifest in path.glob("*.zst.json"):
        manifest.unlink()
    directory = VolumeDirectory.read(str(path))
    for file in lost_manifests(directory, directory.archives(samples.PREFIX)):
        rebuild_manifest(directory, samples.PREFIX, file, samples.NOON, "1.2.3")


def image_digest(content: bytes) -> str:
    """The image digest of *content*."""
    digest = ImageDigest(len(content))
    for offset in range(0, len(content), MIB):
        digest.update(Data(offset, content[offset : offset + MIB]))
    return digest.hexdigest()


def ext4(directory: pathlib.Path, files: t.Mapping[str, bytes], size: int = 8 * MIB) -> bytes:
    """An ext4 file system that holds *files*."""
    return _made(directory, files, size, ["mke2fs", "-q", "-t", "ext4", "-d"])


def _made(directory: pathlib.Path, files: t.Mapping[str, bytes], size: int, command: list[str]) -> bytes:
    tree, image = directory / "tree", directory / "made.raw"
    tree.mkdir()
    for name, content in files.items():
        (tree / name).write_bytes(content)
    with open(image, "wb") as file:
        file.truncate(size)
    subprocess.run([*command, str(tree), str(image)], check=True, capture_output=True)
    content = image.read_bytes()
    image.unlink()
    for name in files:
        (tree / name).unlink()
    tree.rmdir()
    return content


def _write(writer: DiffWriter, day: int, before: bytes | None, content: bytes) -> None:
    base = samples.snapshot(day - 1) if before is not None else None
    writer.header(Header(base, samples.snapshot(day), len(content)))
    for offset in range(0, len(content), BLOCK):
        block = content[offset : offset + BLOCK]
        old = bytes(len(block)) if before is None else before[offset : offset + BLOCK]
        if block == old:
            continue
        writer.record(Data(offset, block) if any(block) else Zero(offset, len(block)))
    writer.end()
