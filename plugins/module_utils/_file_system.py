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

    ``in_use``: it was mounted when it was copied, and left things for the next mount to finish, as after a power cut;
    known for ext alone.
    """

    name: str
    family: str | None = None
    in_use: bool = False


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
_EXT_SUPERBLOCK = 0x400
_HAS_JOURNAL, _RECOVER, _EXTENTS, _ORPHAN_PRESENT = 0x4, 0x4, 0x40, 0x10000


def identify(head: bytes) -> FileSystem | None:
    """Tell the file system from the first HEAD bytes of an image; None where it is none that is known."""
    superblock = head[_EXT_SUPERBLOCK : _EXT_SUPERBLOCK + 0x400]
    if superblock[0x38:0x3A] == b"\x53\xef":
        return _ext(superblock)
    for offset, magic, found in _MAGIC:
        if head[offset : offset + len(magic)] == magic:
            return found
    return None


def _ext(superblock: bytes) -> FileSystem:
    compatible, incompatible, read_only = (_word(superblock, offset) for offset in (0x5C, 0x60, 0x64))
    old = "ext3" if compatible & _HAS_JOURNAL else "ext2"
    # files that were deleted while open: in a list from the superblock on, or in a file of their own
    orphans = _word(superblock, 0xE8) or read_only & _ORPHAN_PRESENT
    return FileSystem(
        "ext4" if incompatible & _EXTENTS else old, "ext", bool(incompatible & _RECOVER or orphans)
    )


def _word(data: bytes, offset: int) -> int:
    return int.from_bytes(data[offset : offset + 4], "little")
