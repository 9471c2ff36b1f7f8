# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which file system a raw file holds, by its magic. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

HEAD = 0x10100
"""How many bytes from the beginning :func:`identify` needs."""


@dataclasses.dataclass(frozen=True)
class FileSystem:
    """What was found. ``family`` says how to check it: ``ext``, ``xfs``, or None where that is not possible.

    ``needs_replay``: what its journal holds was not brought to its place, as after a power cut; known for ext alone.
    """

    name: str
    family: str | None = None
    needs_replay: bool = False


_MAGIC: t.Sequence[tuple[int, bytes, FileSystem]] = (
    (0, b"XFSB", FileSystem("xfs", "xfs")),
    (0x10040, b"_BHRfS_M", FileSystem("btrfs")),
    (0, b"LUKS\xba\xbe", FileSystem("luks")),
    (0x218, b"LVM2 001", FileSystem("lvm")),
    (0xFF6, b"SWAPSPACE2", FileSystem("swap")),
    (0x8001, b"CD001", FileSystem("iso9660")),
    (3, b"NTFS    ", FileSystem("ntfs")),
    (0x200, b"EFI PART", FileSystem("partition table")),
    (0x1FE, b"\x55\xaa", FileSystem("partition table")),
)
_EXT_MAGIC, _HAS_JOURNAL, _RECOVER, _EXTENTS = 0x438, 0x4, 0x4, 0x40


def identify(head: bytes) -> FileSystem | None:
    """Tell the file system from the first HEAD bytes of an image; None where it is none that is known."""
    if head[_EXT_MAGIC : _EXT_MAGIC + 2] == b"\x53\xef":
        compatible = int.from_bytes(head[0x45C:0x460], "little")
        incompatible = int.from_bytes(head[0x460:0x464], "little")
        old = "ext3" if compatible & _HAS_JOURNAL else "ext2"
        return FileSystem("ext4" if incompatible & _EXTENTS else old, "ext", bool(incompatible & _RECOVER))
    for offset, magic, found in _MAGIC:
        if head[offset : offset + len(magic)] == magic:
            return found
    return None
