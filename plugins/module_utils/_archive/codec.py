# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compression of archives: zstd, gzip or none, streaming, in memory that does not grow with the archive.

Reading proves the end: a stream that was cut, or that has something behind its end, is an error. The
ready-made stream readers of ``zstandard`` end quietly where the data end, so the frames are walked here (RFC
8878, section 3.1.1), block by block, which also bounds what a hostile archive can make of a few bytes.
"""

from __future__ import annotations

import os
import shutil
import typing as t
import zlib

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.problems import DAMAGED
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.zstd_program import (
    ProgramFailed,
    pieces_of,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import (
    ArchiveError,
    InvalidInput,
    MissingLibrary,
)

try:
    import zstandard
except ImportError:
    zstandard = None  # type: ignore[assignment]

LEVELS: t.Mapping[str, tuple[int, int, int]] = {"zstd": (1, 22, 3), "gzip": (1, 9, 6)}
"""Lowest, highest and default level of each compression that has levels."""

THREADS = 16
"""The most threads that an archive may be compressed with."""

_USUAL_THREADS = 4  # compress about as fast as rbd reads through a fast network

_JOB = 1 << 20  # what a thread compresses at once; the library's own choice costs 60 MiB a thread
_PIECE = 256 * 1024
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_RLE, _ZSTD_RESERVED = 1, 3
_GZIP = 31  # zlib: a gzip header and trailer around a 32 KiB window


class Source(t.Protocol):
    """Where stored bytes are read from."""

    def read(self, size: int) -> bytes:
        """Return at most *size* bytes, and none only at the end."""


class Compressor(t.Protocol):
    """What turns a raw stream into stored bytes, piece by piece."""

    def compress(self, data: bytes) -> bytes:
        """Return what can be stored after *data*."""

    def flush(self) -> bytes:
        """Return the rest; the compressor is then used up."""


class _NoCompressor:
    def compress(self, data: bytes) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


def compressor(compression: str, level: int | None = None, threads: int | None = 0) -> Compressor:
    """Return a compressor. *level* None is the usual one; *threads* (zstd) 0 compresses in the calling thread, and None
    uses as many threads as the processors allow.

    ``none`` takes no notice of the level, and only zstd has threads; each of them costs some 10 MiB of memory at the
    usual level.
    Raises InvalidInput, MissingLibrary.
    """
    if compression == "none":
        return _NoCompressor()
    if threads is None:
        threads = usual_threads(len(os.sched_getaffinity(0)))
    if not 0 <= threads <= THREADS:
        raise InvalidInput(f"{threads} compression threads cannot be used: give 0 to {THREADS}.")
    lowest, highest, usual = LEVELS[compression]
    chosen = usual if level is None else level
    if not lowest <= chosen <= highest:
        raise InvalidInput(
            f"Compression level {chosen} cannot be used: {compression} knows {lowest} to {highest}."
        )
    if compression == "gzip":
        return zlib.compressobj(chosen, zlib.DEFLATED, _GZIP)
    library = _require_zstandard()
    settings = library.ZstdCompressionParameters.from_level(
        chosen,
        threads=threads,
        job_size=_JOB if threads else 0,
        write_checksum=True,
        write_content_size=False,
    )
    result: Compressor = library.ZstdCompressor(compression_params=settings).compressobj()
    return result


def usual_threads(processors: int) -> int:
    """Return how many threads compress where nothing is said: half of the processors, for there is more to do than
    that; two already where there are two or three, for it is most of the work; none on a single one."""
    return min(max(processors // 2, 2), _USUAL_THREADS) if processors > 1 else 0


def decompress(source: Source, compression: str, name: str) -> t.Iterator[bytes]:
    """Yield the raw stream of stored bytes in pieces of at most 256 KiB, none of them empty.

    *name* is the archive's, for errors. Only when the iteration has ended is the end proved. Raises
    ArchiveError (DAMAGED), MissingLibrary.
    """
    pieces = {"zstd": _zstd_pieces, "gzip": _gzip_pieces, "none": _plain_pieces}[compression]
    return filter(None, pieces(_Stored(source, name)))


class _Stored:
    """The stored bytes, in pieces of the sizes that are asked for."""

    def __init__(self, source: Source, name: str) -> None:
        self._source = source
        self._name = name
        self._buffer = b""
        self._used = 0
        self._before = 0

    def take(self, size: int) -> bytes:
        """Return *size* bytes, fewer only at the end."""
        while len(self._buffer) - self._used < size:
            more = self._source.read(_PIECE)
            if not more:
                break
            self._before += self._used
            self._buffer, self._used = self._buffer[self._used :] + more, 0
        piece = self._buffer[self._used : self._used + size]
        self._used += len(piece)
        return piece

    def need(self, size: int) -> bytes:
        """Return exactly *size* bytes; their lack is damage."""
        piece = self.take(size)
        if len(piece) < size:
            raise self.error("the file is cut short")
        return piece

    def error(self, what: str) -> ArchiveError:
        """The error that *what* is wrong at about this place."""
        return ArchiveError(
            f"Archive {self._name} is damaged at byte {self._before + self._used} of the file: {what}.",
            kind=DAMAGED,
            file=os.path.basename(self._name),
            byte=self._before + self._used,
        )


def _plain_pieces(stored: _Stored) -> t.Iterator[bytes]:
    return iter(lambda: stored.take(_PIECE), b"")


def _gzip_pieces(stored: _Stored) -> t.Iterator[bytes]:
    data = stored.need(1)
    while data:
        decoder = zlib.decompressobj(_GZIP)
        while not decoder.eof:
            data = data or stored.take(_PIECE)
            if not data:
                raise stored.error("the file is cut short")
            try:
                piece = decoder.decompress(data, _PIECE)
            except zlib.error as error:
                raise stored.error(f"it is not what gzip writes ({error})") from error
            data = decoder.unconsumed_tail
            yield piece
        data = decoder.unused_data or stored.take(_PIECE)


def _zstd_pieces(stored: _Stored) -> t.Iterator[bytes]:
    found: t.Any = zstandard
    program = shutil.which("zstd") if found is None else None
    if program:
        try:
            yield from pieces_of(program, lambda: stored.take(_PIECE), _PIECE)
        except ProgramFailed as error:
            raise stored.error(f"it is not what zstd writes ({error})") from error
        return
    library = _require_zstandard()
    magic = stored.need(4)
    while magic:
        if magic != _ZSTD_MAGIC:
            raise stored.error("what is there is not a zstd frame")
        header, has_checksum = _zstd_header(stored)
        decoder = library.ZstdDecompressor().decompressobj()
        try:
            yield decoder.decompress(magic + header)
            is_last = False
            while not is_last:
                block, is_last = _zstd_block(stored)
                # the decoder checks the checksum only once it has the last block with it
                yield decoder.decompress(block + stored.need(4) if is_last and has_checksum else block)
        except library.ZstdError as error:
            raise stored.error(f"it is not what zstd writes ({error})") from error
        magic = stored.take(4)


def _zstd_header(stored: _Stored) -> tuple[bytes, bool]:
    descriptor = stored.need(1)
    bits = descriptor[0]
    single_segment = bits >> 5 & 1
    window = 1 - single_segment
    dictionary = (0, 1, 2, 4)[bits & 3]
    content_size = (single_segment, 2, 4, 8)[bits >> 6]
    return descriptor + stored.need(window + dictionary + content_size), bool(bits >> 2 & 1)


def _zstd_block(stored: _Stored) -> tuple[bytes, bool]:
    header = stored.need(3)
    value = int.from_bytes(header, "little")
    kind, size = value >> 1 & 3, value >> 3
    if kind == _ZSTD_RESERVED or size > 128 * 1024:
        raise stored.error("what is there is not a zstd block")
    return header + stored.need(1 if kind == _ZSTD_RLE else size), bool(value & 1)


def _require_zstandard() -> t.Any:
    if zstandard is None:
        raise MissingLibrary(
            "The Python library 'zstandard' is not installed where this runs: archives compressed with zstd "
            "cannot be written, and read only where the program zstd is on the PATH. Install one of them, or "
            "choose the compression gzip.",
            library="zstandard",
        )
    return zstandard
