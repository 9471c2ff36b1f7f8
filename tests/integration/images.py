# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images in the lab's Ceph for one test, made, changed, read and removed by its administrator."""

from __future__ import annotations

import contextlib
import json
import pathlib
import signal
import subprocess
import typing as t
import uuid

from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec

KIB, MIB = 1 << 10, 1 << 20
_CHANGE = pathlib.Path(__file__).parent / "change_rbd_image.py"


class Images:
    """A factory of images with names that nothing else has; ``clear()`` removes them with their snapshots."""

    def __init__(self, admin_conf: str, pool: str, directory: pathlib.Path) -> None:
        """*directory* is for temporary files."""
        self._conf = admin_conf
        self._pool = pool
        self._directory = directory
        self._made: list[ImageSpec] = []

    def name(self, pool: str | None = None, rados_namespace: str = "") -> ImageSpec:
        """Name an image that is not there yet; it is removed in the end if something made it."""
        spec = ImageSpec(pool or self._pool, rados_namespace, f"test-{uuid.uuid4().hex[:16]}")
        self._made.append(spec)
        return spec

    def create(
        self,
        size: int = 16 * MIB,
        *options: str,
        pool: str | None = None,
        rados_namespace: str = "",
    ) -> ImageSpec:
        """Create an empty image of *size* bytes; *options* are those of ``rbd create``."""
        spec = self.name(pool, rados_namespace)
        self.rbd(spec, "create", "--size", f"{size}B", *options)
        return spec

    def clone(
        self, parent: ImageSpec, snapshot: str, features: str = "layering,exclusive-lock,deep-flatten"
    ) -> ImageSpec:
        """Clone an image from a snapshot, which need not be protected (clone format 2)."""
        spec = self.name(parent.pool, parent.rados_namespace)
        options = ("--rbd-default-clone-format", "2", "--image-feature", features)
        self._run("clone", *options, f"{parent}@{snapshot}", str(spec))
        return spec

    def change(self, spec: ImageSpec, *operations: t.Sequence[t.Any]) -> None:
        """Do *operations* to the image in one session: ``("write", offset, length, seed)`` (random bytes),
        ``("zeros", offset, length)``, ``("write_zeroes", offset, length)``, ``("discard", offset, length)``,
        ``("resize", size)``, ``("flatten",)``, ``("snapshot", name)``. All in bytes."""
        command = ["/usr/bin/python3", str(_CHANGE)]
        done = subprocess.run(command, input=self._job(spec, operations), check=False, capture_output=True)
        assert done.returncode == 0, done.stderr.decode()

    @contextlib.contextmanager
    def opened(self, spec: ImageSpec) -> t.Iterator[None]:
        """Keep the image open for writing, as a client that has it in use."""
        command = ["/usr/bin/python3", str(_CHANGE)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            stdin, stdout = t.cast(t.IO[bytes], process.stdin), t.cast(t.IO[bytes], process.stdout)
            stdin.write(self._job(spec, [["wait"]]))
            stdin.close()
            assert stdout.readline() == b"open\n"
            try:
                yield
            finally:
                process.terminate()

    def read(self, spec: ImageSpec, snapshot: str | None = None) -> bytes:
        """Return the whole content of the image or of one of its snapshots."""
        file = self._directory / f"{spec.image}.raw"
        self.rbd(spec, "export", *(("--snap", snapshot) if snapshot else ()), "--path", str(file))
        content = file.read_bytes()
        file.unlink()
        return content

    def allocated(self, spec: ImageSpec, snapshot: str | None = None) -> int:
        """How many bytes of the image or of one of its snapshots are not a hole."""
        at = ("--snap", snapshot) if snapshot else ()
        found = json.loads(self.rbd(spec, "diff", *at, "--format", "json"))
        return sum(int(item["length"]) for item in found if item["exists"] in (True, "true"))

    def metadata(self, spec: ImageSpec) -> dict[str, str]:
        """Return the metadata of the image."""
        said = self.rbd(spec, "image-meta", "list", "--format", "json")
        found: dict[str, str] = json.loads(said) if said.strip() else {}
        return found

    def rbd(self, spec: ImageSpec, *words: str) -> str:
        """Run an rbd command on the image and return what it prints."""
        namespace = ("--namespace", spec.rados_namespace) if spec.rados_namespace else ()
        return self._run(*words, "--pool", spec.pool, *namespace, "--image", spec.image)

    def out_of_the_trash(self, pool: str, image_id: str) -> None:
        """Take an image out of the trash again."""
        self._run("trash", "restore", "--pool", pool, "--image-id", image_id)

    def listed(self, pool: str, rados_namespace: str = "") -> list[str]:
        """Return the names of all images of a RADOS namespace of a pool."""
        return self._run("ls", "/".join(filter(None, (pool, rados_namespace)))).split()

    def left_of(self, spec: ImageSpec) -> list[str]:
        """Return the names of images that begin with that of *spec*."""
        return [name for name in self.listed(spec.pool) if name.startswith(spec.image)]

    def adopt(self, specs: list[ImageSpec]) -> None:
        """Take images over, for removal."""
        self._made += specs

    def clear(self) -> list[ImageSpec]:
        """Remove what was made, clones before their parents. Return the images that somebody has open."""
        places = {(spec.pool, spec.rados_namespace) for spec in self._made}
        listed = {place: set(self.listed(*place)) for place in places}
        there = [
            spec for spec in reversed(self._made) if spec.image in listed[spec.pool, spec.rados_namespace]
        ]
        in_use = [
            spec for spec in there if json.loads(self.rbd(spec, "status", "--format", "json"))["watchers"]
        ]
        for spec in there:
            if spec not in in_use:
                self._remove(spec)
        return in_use

    def _job(self, spec: ImageSpec, operations: t.Sequence[t.Sequence[t.Any]]) -> bytes:
        place = {"pool": spec.pool, "rados_namespace": spec.rados_namespace, "image": spec.image}
        return json.dumps({"conf": self._conf, **place, "operations": operations}).encode()

    def _remove(self, spec: ImageSpec) -> None:
        for snapshot in self._snapshots(spec):
            if snapshot["protected"] in (True, "true"):
                self.rbd(spec, "snap", "unprotect", "--snap", snapshot["name"])
        self.rbd(spec, "snap", "purge", "--no-progress")
        self.rbd(spec, "rm", "--no-progress")

    def _snapshots(self, spec: ImageSpec) -> list[dict[str, t.Any]]:
        found: list[dict[str, t.Any]] = json.loads(self.rbd(spec, "snap", "ls", "--format", "json"))
        return found

    def _run(self, *words: str) -> str:
        command = ["rbd", "--conf", self._conf, *words]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode == -signal.SIGABRT and (
            words[0] in ("ls", "status") or words[:2] == ("snap", "ls")
        ):
            # rbd 16.2 crashes now and then while it starts threads on a busy machine
            done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode == 0, f"rbd {' '.join(words)}: {done.stderr}"
        return done.stdout
