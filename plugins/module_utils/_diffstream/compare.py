# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where two images differ that should be equal."""

from __future__ import annotations

import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.records import (
    BLOCK,
    ZEROS,
    Data,
    Record,
)


def first_difference(one: t.Iterable[Record], other: t.Iterable[Record]) -> int | None:
    """Return the offset in the image of the first byte in which two full streams differ; None when they are equal."""
    left, right = _blocks(one), _blocks(other)
    a, b = next(left, None), next(right, None)
    while a is not None and a == b:
        a, b = next(left, None), next(right, None)
    if a is None and b is None:
        return None
    # what one image has no block of is zero there
    at = min(block[0] for block in (a, b) if block is not None)
    pair = (block[1] if block is not None and block[0] == at else bytes(BLOCK) for block in (a, b))
    return at + next(i for i, (x, y) in enumerate(zip(*pair)) if x != y)


def _blocks(records: t.Iterable[Record]) -> t.Iterator[tuple[int, bytes]]:
    """The blocks of the image that are not all zero, ascending, each with its offset."""
    at, block = 0, bytearray(BLOCK)
    for record in records:
        if not isinstance(record, Data):
            continue
        start = record.offset
        while start < record.end:
            base = start - start % BLOCK
            if base != at:
                if not ZEROS.startswith(block):
                    yield at, bytes(block)
                at, block = base, bytearray(BLOCK)
            stop = min(base + BLOCK, record.end)
            block[start - base : stop - base] = record.data[start - record.offset : stop - record.offset]
            start = stop
    if not ZEROS.startswith(block):
        yield at, bytes(block)
