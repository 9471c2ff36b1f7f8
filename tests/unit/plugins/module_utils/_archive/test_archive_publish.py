# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Publishing: what stands under a published name is whole, private, and was never there half."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import os
import pathlib
import random
import resource
import subprocess
import typing as t
import weakref

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive import names
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.publish import ArchiveWriter
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.verify import verify_archive
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import ArchiveError, InvalidInput
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._archive import (
    archive_samples as samples,
)

FULL = f"{samples.snapshot(1)}.full.zst"


@pytest.mark.parametrize("compression", ["zstd", "gzip", "none"])
def test_what_is_published(tmp_path: pathlib.Path, compression: str) -> None:
    archive = samples.publish(tmp_path, 2, 1, compression)
    data = samples.stream(2, 1)
    stored = (tmp_path / archive.file).read_bytes()
    assert archive.file == names.archive_name(samples.snapshot(2), samples.snapshot(1), compression)
    assert (archive.stream_bytes, archive.stream_sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert (archive.stored_bytes, archive.stored_sha256) == (len(stored), hashlib.sha256(stored).hexdigest())
    assert (archive.to, archive.base, archive.image_id) == (samples.state(2), samples.state(1), "12ab34cd")
    assert sorted(os.listdir(tmp_path)) == sorted([archive.file, archive.file + ".json"])


@pytest.mark.parametrize(("compression", "program"), [("zstd", "zstdcat"), ("gzip", "zcat"), ("none", "cat")])
def test_the_ordinary_tools_read_it(tmp_path: pathlib.Path, compression: str, program: str) -> None:
    archive = samples.publish(tmp_path, 1, compression=compression)
    result = subprocess.run([program, str(tmp_path / archive.file)], stdout=subprocess.PIPE, check=True)
    assert result.stdout == samples.stream(1)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_files_are_the_owners_alone_whatever_the_umask(tmp_path: pathlib.Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        archive = samples.publish(tmp_path, 1)
    finally:
        os.umask(before)
    for name in (archive.file, archive.file + ".json"):
        assert os.stat(tmp_path / name).st_mode & 0o7777 == 0o600


def test_a_reader_sees_nothing_before_it_is_published(tmp_path: pathlib.Path) -> None:
    with ArchiveWriter(str(tmp_path), FULL) as writer:
        writer.write(samples.stream(1))
        assert [names.is_temporary(name) for name in os.listdir(tmp_path)] == [True]
        assert os.stat(tmp_path / writer.temporary).st_mode & 0o7777 == 0o600
        archive = writer.seal(samples.origin(1))
        assert all(names.is_temporary(name) for name in os.listdir(tmp_path))
        assert verify_archive(str(tmp_path), archive, writer.temporary).stream_bytes == writer.stream_bytes
        assert writer.publish() == archive
    assert sorted(os.listdir(tmp_path)) == [FULL, FULL + ".json"]


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("error", [None, KeyboardInterrupt, ArchiveError])
def test_leaving_without_publishing_leaves_nothing(
    tmp_path: pathlib.Path, sealed: bool, error: type[BaseException] | None
) -> None:
    def leave() -> None:
        with ArchiveWriter(str(tmp_path), FULL) as writer:
            writer.write(samples.stream(1))
            if sealed:
                writer.seal(samples.origin(1))
            if error:
                raise error("stop")

    if error:
        with pytest.raises(error):
            leave()
    else:
        leave()
    assert os.listdir(tmp_path) == []


def test_what_was_published_before_is_kept_beside(tmp_path: pathlib.Path) -> None:
    contents = []
    for seed in (7, 8, 9):
        samples.publish(tmp_path, 1, seed=seed)
        contents.append((tmp_path / FULL).read_bytes())
    bad = [name for name in sorted(os.listdir(tmp_path)) if names.name_before_bad(name) == FULL]
    assert [(tmp_path / name).read_bytes() for name in bad] == contents[:2]
    assert sum(names.name_before_bad(name) == FULL + ".json" for name in os.listdir(tmp_path)) == 2
    assert (tmp_path / FULL).read_bytes() == contents[2]


def test_an_archive_without_a_manifest_and_a_manifest_without_one_are_kept_too(
    tmp_path: pathlib.Path,
) -> None:
    (tmp_path / FULL).write_bytes(b"mine")
    samples.publish(tmp_path, 1)
    (tmp_path / FULL).unlink()
    samples.publish(tmp_path, 1, seed=5)
    bad = [names.name_before_bad(name) for name in os.listdir(tmp_path)]
    assert sorted(filter(None, bad)) == [FULL, FULL + ".json"]


def test_a_link_in_place_of_the_archive_is_moved_and_not_followed(tmp_path: pathlib.Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    folder = tmp_path / "volume"
    folder.mkdir()
    (folder / FULL).symlink_to(outside)
    samples.publish(folder, 1)
    assert outside.read_bytes() == b"precious"
    assert not (folder / FULL).is_symlink()


def test_short_writes_of_the_system_lose_nothing(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # fault injection: a write may take fewer bytes than it is given
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:1000]))
    archive = samples.publish(tmp_path, 1, compression="none")
    monkeypatch.undo()
    assert (tmp_path / archive.file).read_bytes() == samples.stream(1)


@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
def test_a_failing_storage_publishes_nothing(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    # fault injection: the call fails with EIO
    def fail(*_: t.Any) -> t.NoReturn:
        raise OSError(5, "Input/output error")

    before = samples.publish(tmp_path, 2, 1)
    monkeypatch.setattr(os, call, fail)
    with pytest.raises(ArchiveError, match="Input/output error") as caught:
        samples.publish(tmp_path, 1)
    monkeypatch.undo()
    assert caught.value.details["kind"] == "unwritable"
    assert FULL in caught.value.message
    assert sorted(os.listdir(tmp_path)) == sorted([before.file, before.file + ".json"])


@pytest.mark.parametrize(("day", "base"), [(2, None), (1, 3)])
def test_an_origin_of_another_archive_is_refused(tmp_path: pathlib.Path, day: int, base: int | None) -> None:
    with ArchiveWriter(str(tmp_path), FULL) as writer, pytest.raises(InvalidInput, match="cannot hold"):
        writer.seal(samples.origin(day, base))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("file", ["../x", "volume.json", FULL + ".json", ""])
def test_a_name_that_is_not_an_archives_is_refused(tmp_path: pathlib.Path, file: str) -> None:
    with pytest.raises(InvalidInput):
        ArchiveWriter(str(tmp_path), file)


def test_publishing_comes_after_sealing(tmp_path: pathlib.Path) -> None:
    with ArchiveWriter(str(tmp_path), FULL) as writer, pytest.raises(ValueError, match="seal"):
        writer.publish()


def test_the_directory_is_made_durable_between_the_two_renames(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = samples.noted_calls(monkeypatch)
    samples.publish(tmp_path, 1)
    folder = tmp_path.name
    written = ["fsync temporary", "fsync temporary"]
    published = [f"rename {FULL}", f"fsync {folder}", f"rename {FULL}.json", f"fsync {folder}"]
    assert calls == written + published
    calls.clear()
    samples.publish(tmp_path, 1)
    aside = [f"rename {FULL}.json.bad", f"rename {FULL}.bad", f"fsync {folder}"]
    assert calls == written + aside + published


@pytest.mark.parametrize("fails", [False, True])
def test_a_compressor_is_let_go_of_with_its_writer(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    """Its threads cost memory, and hang a forked child whose garbage collector comes by first."""

    def fail(*_: t.Any) -> t.NoReturn:
        raise OSError(5, "Input/output error")

    gc.disable()
    try:
        with ArchiveWriter(str(tmp_path), FULL, threads=2) as writer:
            if fails:
                monkeypatch.setattr(os, "write", fail)
            with contextlib.suppress(ArchiveError):
                writer.write(random.Random(1).randbytes(4 << 20))
                writer.seal(samples.origin(1))
        gone = weakref.ref(writer)
        del writer
        assert gone() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("threads", [0, 2])
def test_memory_does_not_follow_the_size(tmp_path: pathlib.Path, threads: int) -> None:
    pieces = [random.Random(1).randbytes(1 << 20), bytes(1 << 20)]
    with ArchiveWriter(str(tmp_path), FULL, threads=threads) as writer:
        writer.write(pieces[0])
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for number in range(128):
            writer.write(pieces[number % 2])
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert writer.stored_bytes > 50 << 20  # what was handed over last is still on its way
    assert after - before < 32 * 1024  # KiB
