# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compression: what goes in comes out, the end is proved, and memory does not follow the size."""

from __future__ import annotations

import gzip
import io
import random
import subprocess
import tracemalloc
import typing as t

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive import codec
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import (
    ArchiveError,
    InvalidInput,
    MissingLibrary,
)

COMPRESSIONS = ("zstd", "gzip", "none")
NOISE = random.Random(1).randbytes(300_000)


def compress(
    pieces: t.Iterable[bytes], compression: str, level: int | None = None, threads: int = 0
) -> bytes:
    """Compress as the writer of archives does."""
    compressor = codec.compressor(compression, level, threads)
    return b"".join([*map(compressor.compress, pieces), compressor.flush()])


class Dribble:
    """A source that gives fewer bytes than it is asked for, as files may."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)
        self._random = random.Random(len(data))

    def read(self, size: int) -> bytes:
        return self._file.read(min(size, self._random.choice((1, 7, 4096, 1 << 20))))


def decompress(stored: bytes, compression: str) -> bytes:
    """Read everything, to the proved end."""
    return b"".join(codec.decompress(Dribble(stored), compression, "the archive"))


@pytest.mark.parametrize("compression", COMPRESSIONS)
@settings(max_examples=60)
@given(
    pieces=st.lists(st.binary(max_size=2000) | st.integers(0, 400_000).map(bytes), max_size=6),
    level=st.none() | st.integers(1, 9),
)
def test_what_goes_in_comes_out(compression: str, pieces: list[bytes], level: int | None) -> None:
    assert decompress(compress(pieces, compression, level), compression) == b"".join(pieces)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_threads(threads: int) -> None:
    data = NOISE * 30 + bytes(20 << 20)
    assert decompress(compress([data], "zstd", threads=threads), "zstd") == data


def test_as_many_threads_as_the_processors_allow() -> None:
    assert [codec.usual_threads(count) for count in (1, 2, 3, 4, 6, 8, 64)] == [0, 2, 2, 2, 3, 4, 4]
    compressor = codec.compressor("zstd", threads=None)
    stored = compressor.compress(NOISE) + compressor.flush()
    assert decompress(stored, "zstd") == NOISE


@pytest.mark.parametrize(("compression", "program"), [("zstd", "zstd"), ("gzip", "gzip")])
@pytest.mark.parametrize("data", [b"", b"text " * 100_000, NOISE], ids=["empty", "text", "noise"])
def test_the_ordinary_tools_agree(compression: str, program: str, data: bytes) -> None:
    stored = compress([data], compression)
    there = subprocess.run([program, "-dc"], input=stored, stdout=subprocess.PIPE, check=True)
    assert there.stdout == data
    back = subprocess.run([program, "-c"], input=data, stdout=subprocess.PIPE, check=True)
    assert decompress(back.stdout, compression) == data


@pytest.mark.parametrize("compression", ["zstd", "gzip"])
@pytest.mark.parametrize("data", [b"", b"text " * 50_000, NOISE[:200_000]], ids=["empty", "text", "noise"])
def test_several_frames_are_one_stream(compression: str, data: bytes) -> None:
    assert (
        decompress(compress([data], compression) + compress([b"more"], compression), compression)
        == data + b"more"
    )


@pytest.mark.parametrize("compression", ["zstd", "gzip"])
def test_every_cut_is_noticed(compression: str) -> None:
    stored = compress([b"text " * 200, NOISE[:300], bytes(200_000)], compression)
    for length in range(len(stored)):
        with pytest.raises(ArchiveError, match="damaged") as caught:
            decompress(stored[:length], compression)
        assert caught.value.details["kind"] == "damaged"


@pytest.mark.parametrize("compression", ["zstd", "gzip"])
@pytest.mark.parametrize(
    "garbage",
    [b"\0", b"e", b"\x28", b"\x28\xb5\x2f", b"\x1f\x8b", b"garbage!", bytes(4096)],
    ids=lambda data: data[:8].hex(),
)
def test_garbage_behind_the_end_is_noticed(compression: str, garbage: bytes) -> None:
    with pytest.raises(ArchiveError, match="damaged"):
        decompress(compress([b"text " * 200], compression) + garbage, compression)


@pytest.mark.parametrize("compression", ["zstd", "gzip"])
def test_flipped_bits_never_change_the_content_unnoticed(
    compression: str, record_property: t.Callable[[str, object], None]
) -> None:
    data = b"text " * 100 + NOISE[:200] + bytes(100_000)
    stored = compress([data], compression)
    harmless = 0
    for position in range(len(stored)):
        for bit in range(8):
            damaged = bytearray(stored)
            damaged[position] ^= 1 << bit
            try:
                content = decompress(bytes(damaged), compression)
            except ArchiveError:
                continue
            assert content == data, f"bit {bit} of byte {position}"
            harmless += 1
    # a few bits mean nothing to the content: the time in gzip's header, the unused bit and window of zstd's
    assert harmless < 120
    record_property("cases", len(stored) * 8)


@pytest.mark.parametrize("compression", ["zstd", "gzip"])
@settings(max_examples=200)
@given(junk=st.binary(max_size=300))
def test_junk_is_refused(compression: str, junk: bytes) -> None:
    for head in (b"", b"\x28\xb5\x2f\xfd", b"\x1f\x8b\x08\x00"):
        with pytest.raises(ArchiveError):
            decompress(head + junk, compression)


def test_a_window_beyond_all_reason_is_refused() -> None:
    huge_window = b"\x28\xb5\x2f\xfd" + bytes([0x00, 0xF8]) + b"\x01\x00\x00"
    with pytest.raises(ArchiveError, match="not what zstd writes"):
        decompress(huge_window, "zstd")


@pytest.mark.parametrize(
    ("compression", "stored"),
    [
        ("zstd", zstandard.ZstdCompressor(level=3).compress(bytes(256 << 20))),
        ("gzip", gzip.compress(bytes(64 << 20), 9)),
    ],
    ids=["zstd", "gzip"],
)
def test_memory_does_not_follow_what_a_few_bytes_turn_into(compression: str, stored: bytes) -> None:
    total = 0
    tracemalloc.start()
    try:
        for piece in codec.decompress(io.BytesIO(stored), compression, "the archive"):
            assert 0 < len(piece) <= 256 * 1024
            total += len(piece)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total >= 64 << 20
    assert peak < 4 << 20


@pytest.mark.parametrize(
    ("compression", "level", "threads"),
    [("zstd", 0, 0), ("zstd", 23, 0), ("gzip", 10, 0), ("zstd", 3, -1), ("zstd", 3, 17)],
)
def test_settings_that_cannot_be(compression: str, level: int, threads: int) -> None:
    with pytest.raises(InvalidInput, match="cannot be used"):
        codec.compressor(compression, level, threads)


def test_a_missing_library_is_named_where_the_program_is_missing_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "zstandard", None)
    monkeypatch.setattr(codec.shutil, "which", lambda name: None)
    with pytest.raises(MissingLibrary) as caught:
        codec.compressor("zstd")
    assert caught.value.details == {"library": "zstandard"}
    with pytest.raises(MissingLibrary):
        decompress(b"\x28\xb5\x2f\xfd", "zstd")
    assert decompress(compress([b"data"], "gzip"), "gzip") == b"data"
