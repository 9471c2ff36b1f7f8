# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Manifests and the other JSON files: read strictly, and never when damaged."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.files import (
    atomic_write_json,
    checksum,
    read_json,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.manifest import Manifest
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import ArchiveError
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Archive
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._archive import (
    archive_samples as samples,
)

FULL = f"{samples.snapshot(1)}.full.zst"
DIFF = f"{samples.snapshot(2)}.from-{samples.snapshot(1)}.diff.zst"


def manifest(day: int = 2, base: int | None = 1) -> Manifest:
    return Manifest(DIFF if base else FULL, "zstd", samples.origin(day, base), 100, "a" * 64, 50, "b" * 64)


@pytest.mark.parametrize(("day", "base"), [(1, None), (2, 1)])
def test_a_manifest_is_read_back(day: int, base: int | None) -> None:
    written = manifest(day, base)
    plain = json.loads(json.dumps(written.to_json()))
    assert Manifest.from_json(plain, "m.json") == written


def test_the_archive_that_it_tells_of() -> None:
    archive = manifest(1, None).archive()
    assert archive == Archive(
        file=FULL,
        to=samples.state(1),
        base=None,
        image_id="12ab34cd",
        stored_bytes=50,
        stored_sha256="b" * 64,
        stream_bytes=100,
        stream_sha256="a" * 64,
        image_digest=samples.origin(1).image_digest,
        rebuilt=False,
    )


def leaves(content: t.Any, path: tuple[str, ...] = ()) -> t.Iterator[tuple[str, ...]]:
    """The way to every field, at any depth."""
    for key, value in content.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))


FIELDS = sorted(leaves(manifest().to_json()))


@pytest.mark.parametrize("path", FIELDS, ids=".".join)
@pytest.mark.parametrize(
    "value", ["absent", None, "", "x", -1, 1.5, True, [], {}, "2026-11-24T12:00:00"], ids=repr
)
def test_a_field_of_the_wrong_kind_is_refused(path: tuple[str, ...], value: t.Any) -> None:
    content = json.loads(json.dumps(manifest().to_json()))
    parent = content
    for key in path[:-1]:
        parent = parent[key]
    before = parent[path[-1]]
    if value == "absent":
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    free_text = isinstance(before, str) and path[-1] in {
        "fsid",
        "rados_namespace",
        "image_id",
        "pool",
        "image",
    }
    words = path[-1] in {"reason", "tool_version", "ceph_version"}
    may_be_empty = words or path[-1] == "rados_namespace"
    if isinstance(value, str) and value != "absent" and (value or may_be_empty) and (free_text or words):
        assert Manifest.from_json(content, "m.json")
    elif path == ("rebuilt",) and value is True:
        assert Manifest.from_json(content, "m.json").archive().rebuilt
    elif path == ("image_digest",) and value is None:
        assert Manifest.from_json(content, "m.json").archive().image_digest is None
    else:
        with pytest.raises(ArchiveError, match=r"m\.json"):
            Manifest.from_json(content, "m.json")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "full"}, "kind"),
        ({"compression": "gzip"}, "file"),
        ({"compression": "xz"}, "compression"),
        ({"file": FULL}, "file"),
        ({"file": "../x"}, "file"),
        ({"to": {"snapshot": samples.snapshot(3), "id": 1, "size": 1}}, "file"),
        ({"to": {"snapshot": "x", "id": 1, "size": 1}}, "file"),
        ({"to": {"snapshot": samples.snapshot(2), "id": None, "size": 1}}, r"to\.id"),
        ({"stored_sha256": "B" * 64}, "stored_sha256"),
        ({"stored_sha256": "b" * 63}, "stored_sha256"),
        ({"started": "yesterday"}, "started"),
        ({"format": 0}, "format 0"),
    ],
)
def test_what_does_not_fit_together_is_refused(change: dict[str, t.Any], words: str) -> None:
    with pytest.raises(ArchiveError, match=words):
        Manifest.from_json({**manifest().to_json(), **change}, "m.json")


def test_a_later_format_is_refused_and_not_called_damage() -> None:
    with pytest.raises(ArchiveError, match="has format 2, and this version") as caught:
        Manifest.from_json({"format": 2}, "m.json")
    assert caught.value.details["kind"] == "refused"


def test_fields_of_a_later_version_are_left_alone() -> None:
    assert Manifest.from_json({**manifest().to_json(), "news": [1]}, "m.json") == manifest()


def test_only_a_rebuilt_manifest_may_lack_snapshot_ids() -> None:
    content = {**manifest().to_json(), "rebuilt": True}
    content["to"] = {**content["to"], "id": None}
    archive = Manifest.from_json(content, "m.json").archive()
    assert archive.rebuilt
    assert archive.to.snapshot_id is None


@pytest.mark.parametrize("content", [None, [], "x", 1])
def test_not_an_object(content: t.Any) -> None:
    with pytest.raises(ArchiveError):
        Manifest.from_json(content, "m.json")


def test_json_is_written_for_the_owner_only_and_read_back(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "x.json")
    mask = os.umask(0o000)
    try:
        atomic_write_json(path, {"a": "ü", "n": 2**60}, "Nothing.")
    finally:
        os.umask(mask)
    assert os.stat(path).st_mode & 0o7777 == 0o600
    assert read_json(path) == {"a": "ü", "n": 2**60}
    assert os.listdir(tmp_path) == ["x.json"]


def test_the_checksum_is_the_one_of_the_documentation(tmp_path: pathlib.Path) -> None:
    atomic_write_json(str(tmp_path / "x.json"), {"b": 1, "a": [True, None]}, "Nothing.")
    written = json.loads((tmp_path / "x.json").read_text())
    assert written.pop("checksum") == checksum(written)
    assert checksum({"b": 1, "a": []}) == hashlib.sha256(b'{"a":[],"b":1}').hexdigest()


def what_is_read(path: str, content: dict[str, t.Any]) -> str:
    try:
        return "same" if read_json(path) == content else "different"
    except ArchiveError as error:
        return str(error.details["kind"])


def test_flipped_bits_anywhere_in_a_json_file_are_noticed(
    tmp_path: pathlib.Path, record_property: t.Callable[[str, object], None]
) -> None:
    path = tmp_path / "x.json"
    atomic_write_json(str(path), manifest().to_json(), "Nothing.")
    good = path.read_bytes()
    content = read_json(str(path))
    for position in range(len(good)):
        for bit in sorted({0, position % 8}):
            damaged = bytearray(good)
            damaged[position] ^= 1 << bit
            path.write_bytes(damaged)
            # a blank turned into another blank, or an escape written in another way, says the same
            assert what_is_read(str(path), content) in ("same", "damaged")
    record_property("cases", len(good) * 2)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"{}", b"[" * 100_000, b'{"checksum": 1}']
)
def test_files_that_are_not_ours(tmp_path: pathlib.Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(ArchiveError, match="damaged") as caught:
        read_json(str(tmp_path / "x.json"))
    assert caught.value.details["kind"] == "damaged"


def test_a_missing_file_is_missing(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ArchiveError) as caught:
        read_json(str(tmp_path / "x.json"))
    assert caught.value.details["kind"] == "missing"


def test_what_is_no_file_is_never_waited_for(tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / "fifo.json")
    (tmp_path / "link.json").symlink_to("/etc/passwd")
    (tmp_path / "folder.json").mkdir()
    for name in ("fifo.json", "link.json", "folder.json"):
        with pytest.raises(ArchiveError, match="Nothing was changed") as caught:
            read_json(str(tmp_path / name))
        assert caught.value.details["kind"] in {"refused", "unreadable"}
