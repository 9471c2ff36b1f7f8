# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab as a benchmark uses it: images with known content, the tools themselves, and our module as a process."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import pathlib
import shutil
import subprocess
import sys
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec
from ansible_collections.rbd_backup.gfs.tests.integration.images import Images

MIB = 1 << 20
SNAPSHOT = "gfs-20261101T000000Z"
WORKLOAD = "deployment/bench"
_BLOCK = 4096


@dataclasses.dataclass(frozen=True)
class Ran:
    """What our module returned, the most memory that its process used, in bytes, and the processor time that it and the
    commands that it ran took, in seconds."""

    result: dict[str, t.Any]
    peak: int
    processor: float
    commands: float


class Bench:
    """A directory, a factory of images and the ways to read them; all is removed when the context is left."""

    def __init__(self) -> None:
        self.pool = os.environ["RBD_LAB_POOL"]
        self.directory = pathlib.Path(os.environ["RBD_LAB_DIR"]) / f"bench-{os.getpid()}"
        self.images = Images(os.environ["RBD_LAB_ADMIN_CEPH_CONF"], self.pool, self.directory)
        self._numbers = itertools.count()

    def __enter__(self) -> Bench:
        self.directory.mkdir(mode=0o700)
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()
        shutil.rmtree(self.directory)

    def clear(self) -> None:
        """Remove all images and files."""
        self.images.clear()
        for path in self.directory.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def path(self) -> pathlib.Path:
        """Name a file or directory that is not there yet."""
        return self.directory / str(next(self._numbers))

    def image_of(self, content: t.Callable[[t.BinaryIO, int], None], size: int) -> ImageSpec:
        """Make an image of *size* bytes, with a snapshot, of what *content* writes into a file."""
        raw = self.path()
        with raw.open("wb") as file:
            content(file, size)
            file.truncate(size)
        spec = self.images.name()
        command = ["rbd", "--conf", os.environ["RBD_LAB_ADMIN_CEPH_CONF"], "import", "--no-progress"]
        subprocess.run([*command, str(raw), str(spec)], check=True)
        raw.unlink()
        self.images.rbd(spec, "snap", "create", "--no-progress", "--snap", SNAPSHOT)
        return spec

    def rbd_export(
        self,
        spec: ImageSpec,
        base: str | None = None,
        to: str = SNAPSHOT,
        path: pathlib.Path | None = None,
    ) -> int:
        """Do what we are compared with: a plain ``rbd export-diff`` to a file. Returns its size in bytes.

        It is kept where *path* names it.
        """
        file = path or self.path()
        since = ("--from-snap", base) if base else ()
        command = ["rbd", *rbd_access(), "export-diff", "--no-progress", *since, f"{spec}@{to}", str(file)]
        subprocess.run(command, check=True)
        size = file.stat().st_size
        if path is None:
            file.unlink()
        return size

    def backup(self, specs: t.Sequence[ImageSpec], way: str = "local", **options: t.Any) -> Ran:
        """Run rbd_export_diff as a process of its own into an empty directory, *way* being local or pod."""
        root = self.path()
        with contextlib.ExitStack() as stack:
            stack.callback(shutil.rmtree, root)
            return self.fill(root, specs, way, **options)

    def fill(
        self, root: pathlib.Path, specs: t.Sequence[ImageSpec], way: str = "local", **options: t.Any
    ) -> Ran:
        """Do the same into the new directory *root*, which stays. The claims are called as their images are."""
        root.mkdir()
        volumes = [
            {
                "namespace": "bench",
                "claim": spec.image,
                "users": [WORKLOAD],
                "pool": spec.pool,
                "image": spec.image,
            }
            for spec in specs
        ]
        first = {"init": True, "timezone": "UTC", "volumes": volumes}
        return run_module("rbd_export_diff", {**self.access(root, way), **first, **options})

    def access(self, root: pathlib.Path, way: str = "local") -> dict[str, t.Any]:
        """Return the options that say where things are."""
        local = {
            "conf": os.environ["CEPH_CONF"],
            "keyring": os.environ["RBD_LAB_CEPH_KEYRING"],
            "user": os.environ["RBD_LAB_CEPH_USER"],
        }
        return {
            "ceph": local if way == "local" else {"mode": "pod"},
            "kubeconfig": os.environ["KUBECONFIG"],
            "root": str(root),
            "cluster": "bench",
        }


def run_module(name: str, arguments: t.Mapping[str, t.Any]) -> Ran:
    """Run a module as a process. Raises RuntimeError when it fails."""
    command = [sys.executable, "-m", f"{__package__}.module", name]
    done = subprocess.run(command, input=json.dumps(arguments).encode(), stdout=subprocess.PIPE, check=True)
    result, peak, processor, commands = json.loads(done.stdout)
    if result.get("failed"):
        raise RuntimeError(result["msg"])
    return Ran(result, peak, processor, commands)


def files(file: t.BinaryIO, size: int) -> None:
    """Content as a file system holds it: the files of /usr, each from a new block on."""
    for folder, folders, names in os.walk("/usr"):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(folder, name)
            if os.path.islink(path) or not os.path.isfile(path):
                continue
            with open(path, "rb") as source:
                shutil.copyfileobj(source, file)
            file.seek(-file.tell() % _BLOCK, os.SEEK_CUR)
            if file.tell() >= size:
                return
    raise RuntimeError(f"/usr holds less than {size} bytes")


def noise(file: t.BinaryIO, size: int) -> None:
    """Content that nothing can compress, as that of an encrypted volume."""
    for _number in range(size // MIB):
        file.write(os.urandom(MIB))


def rbd_access() -> list[str]:
    """Return the options of rbd for the backup user."""
    return [
        *("--conf", os.environ["CEPH_CONF"]),
        *("--keyring", os.environ["RBD_LAB_CEPH_KEYRING"]),
        *("--id", os.environ["RBD_LAB_CEPH_USER"]),
    ]
