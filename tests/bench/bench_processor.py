# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an export costs in processor time, whose it is, and what the parts of our own cost alone.

On an idle machine only: what else runs is counted as well.
"""

from __future__ import annotations

import functools
import hashlib
import pathlib
import resource
import time
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive import codec
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.reader import DiffReader
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.sparsify import sparsify
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec
from ansible_collections.rbd_backup.gfs.tests.bench.lab import MIB, Bench, files
from ansible_collections.rbd_backup.gfs.tests.bench.processor import Spent, spent_by
from ansible_collections.rbd_backup.gfs.tests.bench.timing import Line

_SIZE = 1024 * MIB


def measure(bench: Bench, repeats: int) -> t.Iterator[Line]:
    """1 GiB of files: each way in turn, of which the round of median duration is shown; then the parts."""
    spec = bench.image_of(files, _SIZE)
    ways: dict[str, t.Callable[[], t.Mapping[str, float]]] = {
        "rbd export-diff": functools.partial(_rbd, bench, spec),
        "ours": functools.partial(_ours, bench, spec),
        "ours, level 1": functools.partial(_ours, bench, spec, compression_level=1),
        "ours, through the pod": functools.partial(_ours, bench, spec, "pod"),
    }
    rounds: dict[str, list[Spent]] = {name: [] for name in ways}
    for _round in range(repeats):
        for name, way in ways.items():
            rounds[name].append(spent_by(way))
    for name, found in rounds.items():
        yield Line(
            f"1 GiB of files, {name}", str(sorted(found, key=lambda spent: spent.wall)[len(found) // 2])
        )
    stream = bench.path()
    bench.rbd_export(spec, path=stream)
    for name, part in _PARTS.items():
        before = time.process_time()
        part(stream)
        yield Line(f"alone: {name}", f"{time.process_time() - before:.2f} s")


def _rbd(bench: Bench, spec: ImageSpec) -> t.Mapping[str, float]:
    before = _children()
    bench.rbd_export(spec)
    return {"rbd": _children() - before}


def _ours(bench: Bench, spec: ImageSpec, way: str = "local", **options: t.Any) -> t.Mapping[str, float]:
    ran = bench.backup([spec], way, **options)
    return {"the module": ran.processor, "rbd": ran.commands}


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _pieces(stream: pathlib.Path) -> t.Iterator[bytes]:
    with stream.open("rb") as file:
        yield from iter(lambda: file.read(MIB), b"")


def _read(stream: pathlib.Path) -> None:
    with stream.open("rb") as file:
        for _record in sparsify(DiffReader(file)):
            pass


def _hash(stream: pathlib.Path) -> None:
    digest = hashlib.sha256()
    for piece in _pieces(stream):
        digest.update(piece)


def _compress(level: int, stream: pathlib.Path) -> None:
    compressor = codec.compressor("zstd", level)
    for piece in _pieces(stream):
        compressor.compress(piece)
    compressor.flush()


_PARTS: dict[str, t.Callable[[pathlib.Path], None]] = {
    "reading, parsing and finding zeros": _read,
    "one SHA-256": _hash,
    "zstd, level 3": functools.partial(_compress, 3),
    "zstd, level 1": functools.partial(_compress, 1),
}
