# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: FA100  (Python 3.6 knows neither postponed annotations nor dict[...])
"""Compresses what a command in a pod writes before it goes over the wire, piece by piece, where that pays.

Sent into pods as part of the far side: standard library only, and Python 3.6 (Ceph 16 images hold no newer one). The
images hold no zstd module, but the library itself, on which their package manager stands.

Each piece is a HEAD (how it is packed, its packed and its plain length) and then its packed bytes.
"""

import ctypes
import struct
import typing as t
import zlib

HEAD = struct.Struct(">BII")
PLAIN, ZSTD, ZLIB = 0, 1, 2

_LEVEL = 1
_PATIENCE = 32


class Packer:
    """Packs pieces of at most *limit* bytes by the first of the methods *accepted* that there is here.

    Pieces that do not shrink go as they are, and the more of them came the longer it does not even try.
    """

    def __init__(self, accepted: t.Sequence[int], limit: int) -> None:
        self._method = PLAIN
        self._pack: t.Optional[t.Callable[[bytes], bytes]] = None
        makers = {ZSTD: zstd, ZLIB: lambda limit: lambda data: zlib.compress(data, _LEVEL)}
        for method in accepted:
            pack = makers[method](limit) if method in makers and self._pack is None else None
            if pack is not None:
                self._method, self._pack = method, pack
        self._pause = 0
        self._rest = 0

    def pack(self, data: bytes) -> bytes:
        """Return *data* as one piece."""
        if self._pack is not None and not self._rest:
            packed = self._pack(data)
            if len(packed) < len(data) - len(data) // 8:
                self._pause = 0
                return HEAD.pack(self._method, len(packed), len(data)) + packed
            self._rest = self._pause = min(2 * self._pause + 1, _PATIENCE)
        elif self._rest:
            self._rest -= 1
        return HEAD.pack(PLAIN, len(data), len(data)) + data


def zstd(limit: int) -> t.Optional[t.Callable[[bytes], bytes]]:
    """Return a compressor of at most *limit* bytes at once, or None where the library cannot be used."""
    try:
        library = ctypes.CDLL("libzstd.so.1")
        size, pointer = ctypes.c_size_t, ctypes.c_void_p
        for name, result, arguments in (
            ("ZSTD_compressBound", size, [size]),
            ("ZSTD_createCCtx", pointer, []),
            ("ZSTD_compressCCtx", size, [pointer, pointer, size, ctypes.c_char_p, size, ctypes.c_int]),
            ("ZSTD_isError", ctypes.c_uint, [size]),
        ):
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError):
        return None
    context = library.ZSTD_createCCtx()
    if not context:
        return None
    room = library.ZSTD_compressBound(limit)
    buffer = ctypes.create_string_buffer(room)

    def pack(data: bytes) -> bytes:
        length = library.ZSTD_compressCCtx(context, buffer, room, data, len(data), _LEVEL)
        # What cannot be packed goes as it is.
        return data if library.ZSTD_isError(length) else ctypes.string_at(buffer, length)

    return pack
