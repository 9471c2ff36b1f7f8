# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a run takes that has nothing to do: made-up directories with real manifests, and canned answers of Ceph.

Seconds are of the action behind rbd_export_diff without the start of Python and Ansible.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import pathlib
import statistics
import time
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions import backup
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.environment import Environment
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.backup_set import BackupSet
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.files import checksum
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.manifest import Manifest, Origin
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.names import archive_name, manifest_name
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.volume_directory import (
    VolumeDirectory,
    describe,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.rbd import RbdClient
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.runner import (
    Completed,
    InputStream,
    OutputStream,
    Runner,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import (
    Identity,
    ImageInfo,
    ImageSpec,
    State,
    Volume,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._names import snapshot_name

FSID = "8c1b1f0e-5d5a-4c8e-9a53-0a2a3f6f7b11"
SIZE = 10 << 30
FIRST = dt.datetime(2026, 11, 1, 17, tzinfo=dt.timezone.utc)
CONTENT = b"made up"  # an idle run looks at the size of an archive, not into it


class Canned(Runner):
    """Ceph's answers, made up beforehand, and a count of how often it was asked."""

    def __init__(self, listing: bytes) -> None:
        self.commands = 0
        self._listing = listing

    def run(self, argv: t.Sequence[str], timeout: float) -> Completed:
        """See Runner."""
        self.commands += 1
        if "osd" in argv:
            pools = [{"pool": 1, "pool_name": "rbd"}]
            return Completed(0, json.dumps({"fsid": FSID, "pools": pools}).encode(), "")
        if "--long" in argv:
            return Completed(0, self._listing, "")
        raise AssertionError(f"an idle run asks for nothing else: {argv}")

    def open_output(self, argv: t.Sequence[str], stall_timeout: float) -> OutputStream:
        """See Runner."""
        raise AssertionError(f"an idle run exports nothing: {argv}")

    def open_input(self, argv: t.Sequence[str], stall_timeout: float) -> InputStream:
        """See Runner."""
        raise AssertionError(f"an idle run imports nothing: {argv}")

    def describe(self) -> str:
        """See Runner."""
        return "canned answers"


class CannedEnvironment(Environment):
    """The environment of a task whose Ceph is canned."""

    def __init__(self, options: t.Mapping[str, t.Any], runner: Runner) -> None:
        super().__init__(options)
        self._client = RbdClient(runner)

    def ceph(self) -> RbdClient:
        """See Environment."""
        return self._client


def image(number: int) -> Volume:
    """Describe a volume as resolution does."""
    identity = Identity(FSID, 1, "", f"{number:x}f00")
    manifests = {
        "claim": {
            "kind": "PersistentVolumeClaim",
            "metadata": {"labels": {f"app-{n}": "x" * 20 for n in range(8)}},
        }
    }
    return Volume(
        f"team-{number % 20}",
        f"data-{number}",
        ImageSpec("rbd", "", f"csi-vol-{number}"),
        identity,
        manifests,
    )


def state(day: int) -> State:
    """Name the state of an image on a day."""
    return State(snapshot_name("gfs", FIRST + dt.timedelta(day)), 100 + day, SIZE)


def make_set(root: str, volumes: t.Sequence[Volume], archives: int) -> None:
    """Make a backup set in which every volume has a chain of *archives*; nothing is flushed to the disk."""
    path = os.path.join(root, "bench")
    BackupSet.init(path, FSID, "gfs", "UTC")
    info = ImageInfo("", SIZE, 4 << 20, ("layering", "exclusive-lock"))
    for volume in volumes:
        identity = t.cast(Identity, volume.identity)
        place = os.path.join(
            path, volume.namespace, volume.claim, f"{volume.spec.image}--{identity.image_id}"
        )
        os.makedirs(place, 0o700)
        description = describe(volume, info, {"csi.storage.k8s.io/pvc/name": volume.claim})
        with Unflushed():
            VolumeDirectory(place, identity, description, FIRST).save()
        for day in range(archives):
            manifest = _manifest(volume, day)
            pathlib.Path(place, manifest.file).write_bytes(CONTENT)
            content = manifest.to_json()
            text = json.dumps({**content, "checksum": checksum(content)}, indent=2)
            pathlib.Path(place, manifest_name(manifest.file)).write_text(text, encoding="ascii")


class Unflushed:
    """Let files be written without waiting for the disk."""

    def __enter__(self) -> None:
        self._fsync = os.fsync
        os.fsync = lambda _descriptor: None  # type: ignore[assignment]

    def __exit__(self, *_: object) -> None:
        os.fsync = self._fsync


def _manifest(volume: Volume, day: int) -> Manifest:
    base = state(day - 1) if day else None
    digest = hashlib.sha256(CONTENT).hexdigest()
    origin = Origin(
        identity=t.cast(Identity, volume.identity),
        spec=volume.spec,
        to=state(day),
        base=base,
        reason="diff against its predecessor" if day else "full: the oldest snapshot",
        started=FIRST,
        finished=FIRST,
        tool_version="0.1.0",
        ceph_version="16.2.15",
        image_digest=None if day else digest,
    )
    file = archive_name(state(day).snapshot, base.snapshot if base else None, "zstd")
    return Manifest(file, "zstd", origin, len(CONTENT), digest, len(CONTENT), digest)


def listing(volumes: t.Iterable[Volume], archives: int) -> bytes:
    """What ``rbd ls --long`` says of the volumes."""
    entries: list[dict[str, t.Any]] = []
    for volume in volumes:
        name = {"image": volume.spec.image, "id": t.cast(Identity, volume.identity).image_id, "format": 2}
        entries.append({**name, "size": SIZE})
        for at in map(state, range(archives)):
            entries.append(
                {
                    **name,
                    "snapshot": at.snapshot,
                    "snapshot_id": at.snapshot_id,
                    "size": SIZE,
                    "protected": "false",
                }
            )
    return json.dumps(entries).encode()


def volume_option(volume: Volume) -> dict[str, t.Any]:
    """Write a volume as an entry of the option ``volumes``."""
    identity = t.cast(Identity, volume.identity)
    return {
        "namespace": volume.namespace,
        "claim": volume.claim,
        "pool": volume.spec.pool,
        "rados_namespace": "",
        "image": volume.spec.image,
        "fsid": identity.fsid,
        "pool_id": identity.pool_id,
        "image_id": identity.image_id,
        "manifests": dict(volume.manifests),
    }


def idle_run(root: str, count: int, archives: int, rounds: int) -> dict[str, t.Any]:
    """Make the set in *root*, run on it, and return the figures."""
    volumes = [image(number) for number in range(count)]
    make_set(root, volumes, archives)
    canned = listing(volumes, archives)
    options = {
        "root": root,
        "cluster": "bench",
        "prefix": "gfs",
        "volumes": [volume_option(volume) for volume in volumes],
        "parallel": 4,
        "init": False,
        "timezone": None,
        "compression": "zstd",
        "compression_level": None,
        "compression_threads": 0,
        "planned_snapshot": None,
        "planned_for": None,
        "stop_at": None,
        "max_duration": None,
        "stop_grace": 600,
        "retries": 2,
        "verify": "recorded",
        "minimum_free": 0,
    }
    seconds = []
    for _round in range(rounds):
        runner = Canned(canned)
        start = time.monotonic()
        outcome = backup.run(CannedEnvironment(options, runner))
        seconds.append(round(time.monotonic() - start, 3))
        assert not outcome.changed, "the run was not idle"
        assert not outcome.failures, outcome.failures[:1]
        assert outcome.values["unchanged"] == count * archives
    return {
        "volumes": count,
        "archives": count * archives,
        "seconds": seconds,
        "median_seconds": statistics.median(seconds),
        "ceph_commands": runner.commands,
    }
