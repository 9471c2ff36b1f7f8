# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A volume and archives to test with: real streams, really published."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import pathlib
import random
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.manifest import Origin
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.names import (
    archive_name,
    is_temporary,
    name_before_bad,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.publish import ArchiveWriter
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.volume_directory import (
    VolumeDirectory,
    describe,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.records import Data, Header, Zero
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.writer import DiffWriter
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import (
    Archive,
    Identity,
    ImageInfo,
    ImageSpec,
    State,
    Volume,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._names import snapshot_name

PREFIX = "gfs"
FSID = "8c1b1f0e-5d5a-4c8e-9a53-0a2a3f6f7b11"
IDENTITY = Identity(FSID, 3, "tenant", "12ab34cd")
SPEC = ImageSpec("rbd", "tenant", "csi-vol-1")
VOLUME = Volume("shop", "data-db-0", SPEC, IDENTITY, {"claim": {"kind": "PersistentVolumeClaim"}})
INFO = ImageInfo("12ab34cd", 1 << 20, 4 << 20, ("layering", "exclusive-lock"))
NOON = dt.datetime(2026, 11, 24, 12, tzinfo=dt.timezone.utc)
SIZE = 1 << 20


def snapshot(day: int) -> str:
    """The name of the snapshot of *day*, counted from 2026-11-01."""
    return snapshot_name(PREFIX, dt.datetime(2026, 11, 1, 17, tzinfo=dt.timezone.utc) + dt.timedelta(day - 1))


def state(day: int, size: int = SIZE) -> State:
    """The state of the image on *day*; its snapshot id is 100 + day."""
    return State(snapshot(day), 100 + day, size)


def origin(day: int, base: int | None = None, **changes: t.Any) -> Origin:
    """Where the archive from day *base* to *day* comes from."""
    values: dict[str, t.Any] = {
        "identity": IDENTITY,
        "spec": SPEC,
        "to": state(day),
        "base": state(base) if base else None,
        "reason": "diff against its predecessor" if base else "full: the oldest snapshot",
        "started": NOON,
        "finished": NOON + dt.timedelta(seconds=7),
        "tool_version": "1.2.3",
        "ceph_version": "18.2.4",
        "image_digest": None if base else hashlib.sha256(b"image").hexdigest(),
    }
    return Origin(**{**values, **changes})


def stream(day: int, base: int | None = None, seed: int | None = None, size: int = SIZE) -> bytes:
    """A diff stream from day *base* to *day*: some 70 KB that do not compress, and some zeros."""
    pieces: list[bytes] = []
    writer = DiffWriter(pieces.append)
    writer.header(Header(snapshot(base) if base else None, snapshot(day), size))
    noise = random.Random(day if seed is None else seed)
    writer.record(Data(4096, noise.randbytes(65536)))
    writer.record(Data(131072, b"text " * 1000))
    writer.record(Zero(262144, 8192))
    writer.end()
    return b"".join(pieces)


def publish(
    directory: str | pathlib.Path,
    day: int,
    base: int | None = None,
    compression: str = "zstd",
    seed: int | None = None,
    **changes: t.Any,
) -> Archive:
    """Publish the archive of :func:`stream` in *directory*; *changes* are those of :func:`origin`."""
    file = archive_name(snapshot(day), snapshot(base) if base else None, compression)
    data = stream(day, base, seed)
    with ArchiveWriter(str(directory), file) as writer:
        for start in range(0, len(data), 10_000):
            writer.write(data[start : start + 10_000])
        writer.seal(origin(day, base, **changes))
        return writer.publish()


def volume_directory(parent: pathlib.Path) -> VolumeDirectory:
    """A new volume's directory in *parent*."""
    path = parent / "volume"
    path.mkdir(mode=0o700)
    directory = VolumeDirectory(str(path), IDENTITY, describe(VOLUME, INFO, {"note": "mine"}), NOON)
    directory.save()
    return directory


def flip(path: str | pathlib.Path, position: int, bit: int = 0) -> None:
    """Flip one bit of a file; a negative *position* counts from its end."""
    content = bytearray(pathlib.Path(path).read_bytes())
    content[position] ^= 1 << bit
    pathlib.Path(path).write_bytes(content)


def damage(archive: pathlib.Path, kind: str) -> None:
    """Do one kind of damage to *archive* or its manifest."""
    manifest = archive.with_name(archive.name + ".json")
    deeds: dict[str, t.Callable[[], object]] = {
        "flipped byte": lambda: flip(archive, 500),
        "cut short": lambda: os.truncate(archive, 100),
        "archive missing": archive.unlink,
        "both missing": lambda: (archive.unlink(), manifest.unlink()),
        "manifest missing": manifest.unlink,
        "manifest damaged": lambda: flip(manifest, 20),
    }
    deeds[kind]()


def noted_calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is renamed, removed and made durable from now on, in order; temporaries and times have no names."""
    calls: list[str] = []

    def name(path: str) -> str:
        base = os.path.basename(path)
        before = name_before_bad(base)
        if is_temporary(base):
            return "temporary"
        return f"{before}.bad" if before else base

    def note(call: str, target: t.Callable[..., str]) -> None:
        real = getattr(os, call)

        def noted(*args: t.Any) -> None:
            real(*args)
            calls.append(f"{call} {target(*args)}")

        monkeypatch.setattr(os, call, noted)

    note("rename", lambda _old, new: name(new))
    note("unlink", name)
    note("fsync", lambda descriptor: name(os.readlink(f"/proc/self/fd/{descriptor}")))
    return calls
