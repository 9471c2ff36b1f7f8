# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packing for the wire: what was packed comes out again, and nothing else is taken for it."""

from __future__ import annotations

import ctypes
import os
import random
import struct
import typing as t
import zlib

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph import packing, unpacking
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.child import PIPE_SIZE

METHODS = [(), (packing.ZLIB,), (packing.ZSTD,), (packing.ZSTD, packing.ZLIB)]
TEXT = b"".join(b"line %d of a file that shrinks\n" % number for number in range(20000))


def unpack(data: bytes, step: int = 32768) -> bytes:
    unpacker = unpacking.Unpacker()
    plain = b"".join(unpacker.feed(data[at : at + step]) for at in range(0, len(data), step))
    assert not unpacker.rest
    return plain


def pieces(seed: int) -> list[bytes]:
    chosen = random.Random(seed)
    kinds: list[t.Callable[[int], bytes]] = [os.urandom, bytes, lambda length: TEXT[:length]]
    return [chosen.choice(kinds)(chosen.randrange(1, 200_000)) for _number in range(30)] + [bytes(PIPE_SIZE)]


@pytest.mark.parametrize("accepted", METHODS)
@pytest.mark.parametrize("seed", range(4))
def test_what_was_packed_comes_out_again(accepted: tuple[int, ...], seed: int) -> None:
    packer = packing.Packer(accepted, PIPE_SIZE)
    plain = pieces(seed)
    packed = b"".join(map(packer.pack, plain))
    for step in (977, 32768, 10**9):
        assert unpack(packed, step) == b"".join(plain)


@pytest.mark.parametrize(("accepted", "share"), list(zip(METHODS, (1.1, 0.2, 0.2, 0.2))))
def test_it_shrinks(accepted: tuple[int, ...], share: float) -> None:
    packed = packing.Packer(accepted, PIPE_SIZE).pack(TEXT)
    assert share / 100 < len(packed) / len(TEXT) < share
    assert packed[0] == (accepted[0] if accepted else packing.PLAIN)


def test_a_pod_without_the_library_takes_the_next_method(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> t.NoReturn:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert packing.Packer((packing.ZSTD, packing.ZLIB), PIPE_SIZE).pack(TEXT)[0] == packing.ZLIB
    assert packing.Packer((packing.ZSTD,), PIPE_SIZE).pack(TEXT)[0] == packing.PLAIN


def test_what_does_not_shrink_is_tried_ever_less_often_until_something_does() -> None:
    packer = packing.Packer((packing.ZLIB,), PIPE_SIZE)
    tried = []
    pack = t.cast(t.Callable[[bytes], bytes], packer._pack)
    packer._pack = lambda data: tried.append(data) or pack(data)  # type: ignore[func-returns-value]
    noise = os.urandom(1000)
    for _number in range(1000):
        assert unpack(packer.pack(noise)) == noise
    assert 30 < len(tried) < 50
    found = next(number for number in range(40) if len(packer.pack(TEXT)) < len(TEXT) / 2)
    assert found <= 32
    assert len(packer.pack(TEXT)) < len(TEXT) / 2


@pytest.mark.parametrize("method", [packing.ZSTD, packing.ZLIB])
def test_a_damaged_piece_is_refused_or_left_to_the_digest(method: int) -> None:
    plain = TEXT[:3000]
    packed = packing.Packer((method,), PIPE_SIZE).pack(plain)
    refused = 0
    for bit in range(8 * len(packed)):
        damaged = bytearray(packed)
        damaged[bit // 8] ^= 1 << bit % 8
        unpacker = unpacking.Unpacker()
        try:
            assert len(unpacker.feed(bytes(damaged))) in (0, len(plain))
        except unpacking.Damaged:
            refused += 1
    assert refused > len(packed)


@pytest.mark.parametrize(
    "piece",
    [
        packing.HEAD.pack(packing.PLAIN, 4, 5) + b"data",
        packing.HEAD.pack(packing.PLAIN, PIPE_SIZE + 1, PIPE_SIZE + 1),
        packing.HEAD.pack(packing.ZLIB, 9, 1 << 31),
        packing.HEAD.pack(packing.ZLIB, 4, 4) + b"data",
        packing.HEAD.pack(packing.ZSTD, 4, 4) + b"data",
        packing.HEAD.pack(9, 4, 4) + b"data",
        # bombs: they say little and hold much
        packing.HEAD.pack(packing.ZLIB, len(zlib.compress(bytes(1 << 20))), 10)
        + zlib.compress(bytes(1 << 20)),
        packing.HEAD.pack(packing.ZSTD, 17, 10)
        + b"\x28\xb5\x2f\xfd\xe0"
        + struct.pack("<Q", 1 << 40)
        + bytes(4),
        packing.HEAD.pack(packing.ZLIB, len(zlib.compress(TEXT)) - 1, len(TEXT)) + zlib.compress(TEXT)[:-1],
    ],
)
def test_a_piece_that_lies_is_refused(piece: bytes) -> None:
    with pytest.raises(unpacking.Damaged):
        unpacking.Unpacker().feed(piece)


def test_a_piece_that_is_not_whole_is_left_over() -> None:
    packed = packing.Packer((), PIPE_SIZE).pack(b"data")
    for length in range(len(packed)):
        unpacker = unpacking.Unpacker()
        assert (unpacker.feed(packed[:length]), unpacker.rest) == (b"", length)
