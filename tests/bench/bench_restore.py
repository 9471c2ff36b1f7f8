# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Eight images restored in one run beside a shell loop of ``rbd import-diff`` of the same chains, and beside Benji."""

from __future__ import annotations

import os
import pathlib
import subprocess
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec
from ansible_collections.rbd_backup.gfs.tests.bench import benji
from ansible_collections.rbd_backup.gfs.tests.bench.lab import (
    MIB,
    SNAPSHOT,
    WORKLOAD,
    Bench,
    files,
    noise,
    rbd_access,
    run_module,
)
from ansible_collections.rbd_backup.gfs.tests.bench.timing import Line, in_turns
from ansible_collections.rbd_backup.gfs.tests.integration.images import Images

_SIZE = 256 * MIB
_COUNT = 8
_SNAPSHOTS = (SNAPSHOT, "gfs-20261102T000000Z", "gfs-20261103T000000Z", "gfs-20261104T000000Z")


def measure(bench: Bench, repeats: int) -> t.Iterator[Line]:
    """Half of the images hold files, half of them noise; each has a full and three diffs of some megabytes."""
    restores = _Restores(bench, [_image(bench, number) for number in range(_COUNT)])
    ways: dict[str, t.Callable[[], object]] = {
        "loop": restores.loop,
        "ours": restores.ours,
        "four at a time": lambda: restores.ours(parallel=4),
    }
    other, why_not = benji.prepare(bench.directory)
    if other:
        other.forget()
        other.backup(restores.specs, _SNAPSHOTS[-1])
        ways["benji"] = lambda: other.restore(restores.specs, restores.targets)
    try:
        times = in_turns(repeats, ways, dict.fromkeys(ways, restores.clear))
    finally:
        restores.clear()
    what = f"{_COUNT} x {_SIZE // MIB} MiB, {len(_SNAPSHOTS)} archives each"
    yield times.line(f"{what}, two at a time", "ours", "loop")
    yield times.line(f"{what}, four at a time", "four at a time", "loop")
    if other:
        yield times.line(f"{what}, Benji {benji.VERSION}", "ours", "benji")
    else:
        yield Line(f"{what}, Benji {benji.VERSION}", f"not available: {why_not}")


def _image(bench: Bench, number: int) -> ImageSpec:
    spec = bench.image_of((files, noise)[number % 2], _SIZE)
    for day, snapshot in enumerate(_SNAPSHOTS[1:]):
        writes = [
            ("write", (day * 37 + n * 11) * MIB % (_SIZE - MIB), MIB, day * 100 + n + number)
            for n in range(8)
        ]
        bench.images.change(spec, *writes, ("snapshot", snapshot))
    return spec


class _Restores:
    """The archives of *specs*, and the ways to make new images of them."""

    def __init__(self, bench: Bench, specs: t.Sequence[ImageSpec]) -> None:
        self.specs = specs
        self.targets = [ImageSpec(spec.pool, "", f"restored-{spec.image}") for spec in specs]
        self._bench = bench
        self._made = Images(os.environ["RBD_LAB_ADMIN_CEPH_CONF"], bench.pool, bench.directory)
        self._made.adopt(self.targets)
        self._root = bench.path()
        bench.fill(self._root, specs)

    def clear(self) -> None:
        """Remove what was restored."""
        self._made.clear()

    def ours(self, **options: t.Any) -> None:
        """Restore the newest restore point of all volumes in one run, proved."""
        place = {"pool": self._bench.pool, "image": "restored-{claim}"}
        chosen = {"namespace": "bench", "workload": WORKLOAD, "target": place}
        run_module("rbd_restore", {**self._bench.access(self._root), **chosen, **options})

    def loop(self) -> None:
        """Do what a script would: the archives of each chain, one after the other, with nothing proved."""
        rbd = ["rbd", *rbd_access()]
        for spec, target in zip(self.specs, self.targets):
            subprocess.run([*rbd, "create", "--size", f"{_SIZE}B", str(target)], check=True)
            for archive in self._archives(spec):
                command = 'file=$1; shift; zstdcat "$file" | "$@"'
                words = [str(archive), *rbd, "import-diff", "--no-progress", "-", str(target)]
                subprocess.run(["bash", "-euo", "pipefail", "-c", command, "-", *words], check=True)

    def _archives(self, spec: ImageSpec) -> list[pathlib.Path]:
        return sorted(self._root.glob(f"bench/bench/{spec.image}/*/gfs-*.zst"))
