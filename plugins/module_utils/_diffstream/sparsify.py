# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns the zeros that ``rbd export-diff`` writes out as data back into zero records."""

from __future__ import annotations

import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.records import (
    BLOCK,
    ZEROS,
    Data,
    Record,
    Zero,
)

_ZERO_BLOCK = bytes(BLOCK)


def sparsify(records: t.Iterable[Record]) -> t.Iterator[Record]:
    """The same content, with zeros inside Data as Zero, and adjacent Zeros as one.

    Whole blocks of zeros, aligned in the image, become Zero, and so does a Data, or what such blocks leave of it, that
    is nothing but zeros; smaller holes are not worth a record. A newly written object is exported whole, zeros
    included (seen with Ceph 16.2), so random writes into an empty image shrink to what was written.
    """
    hole: Zero | None = None
    for record in records:
        for piece in _split(record):
            if isinstance(piece, Zero):
                if hole is not None and hole.end == piece.offset:
                    hole = Zero(hole.offset, piece.end - hole.offset)
                    continue
                if hole is not None:
                    yield hole
                hole = piece
            else:
                if hole is not None:
                    yield hole
                    hole = None
                yield piece
    if hole is not None:
        yield hole


def _split(record: Record) -> t.Iterator[Record]:
    if isinstance(record, Zero):
        yield record
        return
    offset, data = record.offset, record.data
    if ZEROS.startswith(data):
        yield Zero(offset, len(data))
        return
    done = 0
    for at in range(-offset % BLOCK, len(data) - BLOCK + 1, BLOCK):
        if data.startswith(_ZERO_BLOCK, at):
            if done < at:
                yield _piece(offset + done, data[done:at])
            yield Zero(offset + at, BLOCK)
            done = at + BLOCK
    if not done:
        yield record
    elif done < len(data):
        yield _piece(offset + done, data[done:])


def _piece(offset: int, data: bytes) -> Record:
    return Zero(offset, len(data)) if ZEROS.startswith(data) else Data(offset, data)
