# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a diff stream is made of (format: Ceph doc/dev/rbd-diff.rst, version 1). Offsets and lengths in bytes."""

from __future__ import annotations

import dataclasses
import struct
import typing as t

MAGIC = b"rbd diff v1\n"
"""The first bytes of every stream."""

MAX_DATA = 4 << 20
"""The longest :class:`Data` that is ever held in memory or written."""

MAX_ZERO = 1 << 30
"""The longest ``z`` record that is ever written: ``rbd import-diff`` turns each into one request."""

BLOCK = 4096
"""The granularity of :mod:`sparsify` and of the image digest."""

MAX_NAME = 4096
"""The longest snapshot name in UTF-8 bytes; ``rbd import-diff`` and ``rbd merge-diff`` read no more."""

MAX_SIZE = (1 << 63) - 1
"""The largest image size: what the offset of a file can hold."""

ZEROS = bytes(MAX_DATA)
"""As many zero bytes as a :class:`Data` can hold, to compare with."""

TAG_FROM, TAG_TO, TAG_SIZE = b"f"[0], b"t"[0], b"s"[0]
TAG_DATA, TAG_ZERO, TAG_END = b"w"[0], b"z"[0], b"e"[0]

EXTENT = struct.Struct("<BQQ")
"""Tag, offset and length: the head of a ``w`` record, the whole of a ``z`` record."""


@dataclasses.dataclass(frozen=True)
class Header:
    """The metadata of a stream: from which snapshot (None: a full), to which (None: not said), image size after it."""

    from_snapshot: str | None
    to_snapshot: str | None
    size: int


@dataclasses.dataclass
class Data:
    """These bytes are at *offset* now. Never empty. Treated as immutable."""

    # By hand, and not frozen: a backup makes one of these for every few kilobytes.
    __slots__ = ("offset", "data")

    offset: int
    data: bytes

    @property
    def end(self) -> int:
        """The offset after the last byte."""
        return self.offset + len(self.data)


@dataclasses.dataclass
class Zero:
    """*length* bytes from *offset* on are zero now, whatever they were before. Treated as immutable."""

    __slots__ = ("offset", "length")

    offset: int
    length: int

    @property
    def end(self) -> int:
        """The offset after the last byte."""
        return self.offset + self.length


Record = t.Union[Data, Zero]
