# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What rbd_export_diff leaves on disk: archives that everybody's tools restore, and manifests that tell the truth."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import pathlib
import struct
import subprocess
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.rbd import RbdClient
from ansible_collections.rbd_backup.gfs.plugins.module_utils._version import VERSION
from ansible_collections.rbd_backup.gfs.tests.integration import history
from ansible_collections.rbd_backup.gfs.tests.integration.history import day, name
from ansible_collections.rbd_backup.gfs.tests.integration.images import KIB, MIB, Images
from ansible_collections.rbd_backup.gfs.tests.integration.modules import Modules, volume
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._diffstream.model import image_digest

COMPRESSIONS: dict[str, dict[str, t.Any]] = {
    "zstd": {"compression_level": 9, "compression_threads": 2},
    "gzip": {"compression": "gzip", "compression_level": 9},
    "none": {"compression": "none"},
}


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_archives_are_restored_with_the_usual_tools_and_rbd_alone(
    modules: Modules, images: Images, compression: str
) -> None:
    spec = images.create(history.SIZE)
    history.age(images, spec, range(3))
    assert len(modules.backup([spec], **COMPRESSIONS[compression])["archives"]) == 3
    assert history.by_hand(images, modules, history.archives(modules)) == images.read(spec, name(2))
    history.all_equal(images, modules, spec, [name(1)])


def test_the_manifest_proves_the_archive_and_says_where_it_comes_from(
    modules: Modules, images: Images, local_rbd: RbdClient
) -> None:
    spec = images.create(history.SIZE)
    began = dt.datetime.now(dt.timezone.utc).replace(microsecond=0)
    history.age(images, spec, range(2))
    result = modules.backup([spec])
    states = [
        {"snapshot": snapshot.name, "id": snapshot.id, "size": snapshot.size}
        for snapshot in local_rbd.snapshots(spec)
    ]
    identity = local_rbd.identity(spec)
    version = local_rbd.version()
    for number, archive in enumerate(result["archives"]):
        path = pathlib.Path(archive["path"])
        manifest = json.loads(path.with_name(f"{path.name}.json").read_text())
        stream = streamed(path)
        stored = path.read_bytes()
        times = [
            dt.datetime.fromisoformat(manifest[key].replace("Z", "+00:00")) for key in ("started", "finished")
        ]
        assert began <= times[0] <= times[1] <= dt.datetime.now(dt.timezone.utc)
        expected = {
            "file": path.name,
            "kind": archive["kind"],
            "pool": spec.pool,
            "image": spec.image,
            "to": states[number],
            "base": states[0] if number else None,
            "compression": "zstd",
            "reason": archive["reason"],
            "stored_bytes": len(stored),
            "stored_sha256": hashlib.sha256(stored).hexdigest(),
            "stream_bytes": len(stream),
            "stream_sha256": hashlib.sha256(stream).hexdigest(),
            "image_digest": None if number else image_digest(images.read(spec, name(0))),
            "tool_version": VERSION,
            "ceph_version": version,
            "rebuilt": False,
        }
        assert {key: manifest[key] for key in expected} == expected
        assert manifest["identity"] == {
            "fsid": identity.fsid,
            "pool_id": identity.pool_id,
            "rados_namespace": "",
            "image_id": identity.image_id,
        }


def test_what_a_bare_restore_needs_is_kept_beside_the_archives(
    modules: Modules, images: Images, local_rbd: RbdClient
) -> None:
    spec = images.create(history.SIZE, "--object-size", "1M")
    images.rbd(spec, "image-meta", "set", "csi.storage.k8s.io/pvc/name", "data-0")
    history.age(images, spec, [0])
    objects = {
        "claim": {"metadata": {"name": "data-0", "namespace": "shop"}},
        "persistent_volume": {"metadata": {"name": "pvc-1"}, "spec": {"csi": {"volumeHandle": spec.image}}},
        "storage_class": {"metadata": {"name": "block"}, "provisioner": "rook-ceph.rbd.csi.ceph.com"},
    }
    place = {"root": str(modules.root), "cluster": "lab", "init": True, "timezone": "UTC"}
    modules.run("rbd_export_diff", volumes=[{**volume(spec, "data-0"), "manifests": objects}], **place)
    kept = json.loads((history.volume_directory(modules) / "volume.json").read_text())
    assert kept["manifests"] == objects
    info = local_rbd.info(spec)
    assert kept["identity"]["image_id"] == info.id
    assert kept["volume"] == {
        "namespace": "shop",
        "claim": "data-0",
        "pool": spec.pool,
        "rados_namespace": "",
        "image": spec.image,
    }
    assert kept["image"] == {
        "size": history.SIZE,
        "object_size": MIB,
        "features": list(info.features),
        "parent": None,
        "data_pool": None,
        "stripe_unit": info.stripe_unit,
        "stripe_count": info.stripe_count,
        "metadata": {"csi.storage.k8s.io/pvc/name": "data-0"},
    }


@pytest.mark.parametrize("object_size", [64 * KIB, 16 * MIB])
def test_no_data_is_longer_than_4_mib_or_crosses_an_object(
    modules: Modules, images: Images, object_size: int
) -> None:
    """Neither as rbd exports it, where objects are large, nor as it is merged."""
    spec = images.create(24 * MIB, "--object-size", f"{object_size}B")
    for number in range(3):
        images.change(
            spec,
            ("write", number * 3 * MIB + 5000, 7 * MIB, number),
            ("discard", number * MIB, 700 * KIB),
            ("snapshot", name(number)),
        )
    assert len(modules.backup([spec])["archives"]) == 3
    policy = {"daily": 2, "weekly": 0, "monthly": 0}
    merged = modules.consolidate([spec], retention=policy, time=day(2), method="merge", minimum_kept_share=0)
    assert [item["kind"] for item in merged["archives"]] == ["full"]
    kept = history.archives(modules)
    assert [file[: len(name(0))] for file in kept] == [name(1), name(2)]
    for file in kept:
        extents = list(data_in(streamed(history.volume_directory(modules) / file)))
        assert sum(length for _offset, length in extents) > 6 * MIB
        for offset, length in extents:
            assert 0 < length <= 4 * MIB
            assert offset // object_size == (offset + length - 1) // object_size
    history.all_equal(images, modules, spec, [name(1), name(2)])


def streamed(archive: pathlib.Path) -> bytes:
    """The stream in an archive, as zstd sees it."""
    return subprocess.run(["zstdcat", str(archive)], check=True, stdout=subprocess.PIPE).stdout


def data_in(stream: bytes) -> t.Iterator[tuple[int, int]]:
    """Offset and length of each data record, read without the reader of ours, which would take long ones apart."""
    at = len(b"rbd diff v1\n")
    while (tag := stream[at : at + 1]) != b"e":
        if tag in (b"f", b"t"):
            at += 5 + struct.unpack_from("<I", stream, at + 1)[0]
        elif tag == b"s":
            at += 9
        else:
            offset, length = struct.unpack_from("<QQ", stream, at + 1)
            at += 17
            if tag == b"w":
                yield offset, length
                at += length
    assert at == len(stream) - 1
