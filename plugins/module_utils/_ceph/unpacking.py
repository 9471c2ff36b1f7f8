# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes apart what :mod:`packing` packed in a pod, and believes no length in it."""

from __future__ import annotations

import typing as t
import zlib

from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.child import PIPE_SIZE
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.packing import HEAD, PLAIN, ZLIB, ZSTD

try:
    import zstandard
except ImportError:
    zstandard = None  # type: ignore[assignment]

ACCEPTED = (ZLIB,) if zstandard is None else (ZSTD, ZLIB)
"""What the far side may use, the best first."""


class Damaged(Exception):
    """What came is not what was packed."""


class Unpacker:
    """Turns bytes as they come into the plain stream."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._have = 0
        self._need = HEAD.size
        self._zstd = None if zstandard is None else zstandard.ZstdDecompressor()

    @property
    def rest(self) -> int:
        """How many bytes of a piece that is not whole have come."""
        return self._have

    def feed(self, data: bytes) -> bytes:
        """Return what *data* completes. Raises Damaged."""
        self._parts.append(data)
        self._have += len(data)
        if self._have < self._need:
            return b""
        came = memoryview(b"".join(self._parts))
        plain = []
        at = 0
        while True:
            packing, length, size = (
                HEAD.unpack_from(came, at) if len(came) - at >= HEAD.size else (PLAIN, 0, 0)
            )
            if length > PIPE_SIZE or size > PIPE_SIZE:
                raise Damaged
            self._need = HEAD.size + length
            if len(came) - at < self._need:
                break
            start = at + HEAD.size
            plain.append(self._unpack(packing, came[start : start + length], size))
            at = start + length
        self._parts = [bytes(came[at:])]
        self._have = len(came) - at
        return b"".join(plain)

    def _unpack(self, packing: int, data: memoryview, size: int) -> bytes:
        if packing == PLAIN:
            plain = bytes(data)
        elif packing == ZSTD and self._zstd is not None:
            plain = self._unpack_zstd(data, size)
        elif packing == ZLIB:
            plain = _unpack_zlib(data, size)
        else:
            raise Damaged
        if len(plain) != size:
            raise Damaged
        return plain

    def _unpack_zstd(self, data: memoryview, size: int) -> bytes:
        try:
            if zstandard.frame_content_size(data) != size:
                raise Damaged
            return t.cast(t.Any, self._zstd).decompress(data, max_output_size=size)  # type: ignore[no-any-return]
        except zstandard.ZstdError:
            raise Damaged from None


def _unpack_zlib(data: memoryview, size: int) -> bytes:
    decoder = zlib.decompressobj()
    try:
        plain = decoder.decompress(data, size + 1)
    except zlib.error:
        raise Damaged from None
    if not decoder.eof:
        raise Damaged
    return plain
