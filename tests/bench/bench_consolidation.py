# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A typical Monday: the archives that are made again, by re-export, by merging, and by ``rbd merge-diff``.

It is a Monday on which the oldest goes and the next in line becomes the full, as once a month: the dearest.
"""

from __future__ import annotations

import datetime as dt
import os
import pathlib
import shutil
import subprocess
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.archiving import Exporter
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.merging import merge_archives
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.publishing import Publisher
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.backup_set import BackupSet
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.volume_directory import VolumeDirectory
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.access import open_ceph
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.access_spec import CEPH_SPEC
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.rbd import RbdClient
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec, Volume
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.backup import Holdings
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.consolidation import (
    Wishes,
    plan_consolidation,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.remaking import MERGE, REEXPORT, Remake
from ansible_collections.rbd_backup.gfs.plugins.module_utils._retention import Policy
from ansible_collections.rbd_backup.gfs.tests.bench.lab import MIB, Bench, files
from ansible_collections.rbd_backup.gfs.tests.bench.timing import Line, in_turns

_SIZE = 256 * MIB
_POLICY = Policy(timezone="UTC", daily=7, weekly=3, monthly=0)
_FIRST = dt.datetime(2026, 11, 1, 17, tzinfo=dt.timezone.utc)  # a Sunday
_DAYS = 22
_OPTIONS = {"compression": "zstd", "compression_level": None, "compression_threads": 0, "prefix": "gfs"}


def measure(bench: Bench, repeats: int) -> t.Iterator[Line]:
    """Three weeks of daily snapshots, each with some changed megabytes."""
    spec = bench.image_of(files, _SIZE)
    for day in range(_DAYS):
        writes = [("write", (day * 37 + n * 11) % 250 * MIB, MIB, day * 100 + n) for n in range(4)]
        bench.images.change(spec, *writes, ("snapshot", f"gfs-{_time(day):%Y%m%dT%H%M%SZ}"))
    ceph = _ceph()
    try:
        monday = _Monday(bench, ceph, spec)
        times = in_turns(
            repeats,
            {
                "re-export": lambda: monday.ours(REEXPORT),
                "merge": lambda: monday.ours(MERGE),
                "rbd merge-diff": monday.rbd_merge_diff,
            },
        )
    finally:
        ceph.close()
    made = ", ".join(remake.kind for remake in monday.remakes(REEXPORT))
    read = monday.streams[REEXPORT] / MIB
    yield Line(
        f"archives made again ({made})", f"re-export reads {read:.0f} MiB from Ceph, the others nothing"
    )
    yield times.line("re-export", "re-export", "rbd merge-diff")
    yield times.line("merge, inputs and result proved", "merge", "rbd merge-diff")
    yield times.line("merge beside re-export", "merge", "re-export")


class _Monday:
    """The archives of a volume before its consolidation, and the ways to make those that are missing after it."""

    def __init__(self, bench: Bench, ceph: RbdClient, spec: ImageSpec) -> None:
        self._bench = bench
        self._ceph = ceph
        self._volume = Volume("bench", spec.image, spec, ceph.identity(spec))
        self._root = bench.path()
        bench.fill(self._root, [spec])
        self.streams: dict[str, int] = {}

    def remakes(self, method: str) -> tuple[Remake, ...]:
        """The archives to make."""
        directory = self._directory(self._root)
        snapshots = tuple(s for s in self._ceph.snapshots(self._volume.spec) if s.name.startswith("gfs-2026"))
        archives = directory.archives("gfs").archives
        held = Holdings("gfs", directory.identity.image_id, snapshots, archives)
        plan = plan_consolidation(held, _POLICY, _time(_DAYS), lambda _snapshot: False, wishes=Wishes(method))
        return plan.remakes

    def ours(self, method: str) -> None:
        """Make, read back and prove them as gfs_consolidate does, in a copy of the directory."""
        copy = self._bench.path()
        shutil.copytree(self._root, copy)
        directory = self._directory(copy)
        publisher = Publisher(self._volume, directory.identity, directory, _OPTIONS)
        exporter = Exporter(self._ceph, publisher)
        self.streams[method] = 0
        for remake in self.remakes(method):
            if remake.method == MERGE:
                archive = merge_archives(publisher, remake)
            else:
                assert remake.export is not None
                archive = exporter.write(remake.export, prove=True).archive
            self.streams[method] += archive.stream_bytes
        shutil.rmtree(copy)

    def rbd_merge_diff(self) -> None:
        """What a script would do: decompress, merge two by two, compress."""
        directory = self._directory(self._root)
        work = self._bench.path()
        work.mkdir()
        for remake in self.remakes(MERGE):
            merged = work / "0"
            _run(f'zstdcat "$1" > "{merged}"', directory.path_of(remake.inputs[0]))
            for number, archive in enumerate(remake.inputs[1:], 1):
                following = work / str(number)
                plain = work / "plain"
                _run(f'zstdcat "$1" > "{plain}"', directory.path_of(archive))  # only the first may be a pipe
                _run(f'rbd merge-diff --no-progress "$1" "{plain}" "{following}"', str(merged))
                merged.unlink()
                merged = following
            _run(f'zstd -q -T1 "$1" -o "{work / "result"}" && sync "{work / "result"}"', str(merged))
            for file in work.iterdir():
                file.unlink()
        work.rmdir()

    def _directory(self, root: pathlib.Path) -> VolumeDirectory:
        (directory,) = BackupSet.open(str(root / "bench")).scan().volumes
        return directory


def _time(day: int) -> dt.datetime:
    return _FIRST + dt.timedelta(days=day)


def _run(script: str, path: str) -> None:
    subprocess.run(["bash", "-euo", "pipefail", "-c", script, "-", path], check=True)


def _ceph() -> RbdClient:
    defaults = {name: option.get("default") for name, option in CEPH_SPEC["options"].items()}
    access = {"conf": os.environ["CEPH_CONF"], "keyring": os.environ["RBD_LAB_CEPH_KEYRING"]}

    def no_cluster() -> t.NoReturn:
        raise AssertionError("Kubernetes was asked for where Ceph is reached directly.")

    return open_ceph({**defaults, **access, "user": os.environ["RBD_LAB_CEPH_USER"]}, no_cluster)
