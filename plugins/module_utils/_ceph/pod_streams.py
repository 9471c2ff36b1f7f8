# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a command in a pod writes and reads, as streams that are proved on both sides."""

from __future__ import annotations

import hashlib
import struct

from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph import unpacking
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.near_side import FarCommand, frame
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.runner import (
    READ_SIZE,
    InputStream,
    OutputStream,
    Receipt,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import CephError

WINDOW = 4 << 20
"""Bytes of input that may be on their way: the far side holds so much, so that sending never blocks for ever."""


class PodOutput(OutputStream):
    """The stdout of a command in a pod, which was started with ``unpacking.ACCEPTED``."""

    def __init__(self, command: FarCommand) -> None:
        self._command = command
        self._unpacker = unpacking.Unpacker()
        self._digest = hashlib.sha256()
        self._count = 0
        self._rest = memoryview(b"")
        self._receipt: Receipt | None = None

    def read(self, size: int = READ_SIZE) -> bytes:
        """See OutputStream."""
        pieces = []
        while size and (self._rest or self._receipt is None):
            if not self._rest:
                self._take_in()
            piece, self._rest = self._rest[:size], self._rest[size:]
            size -= len(piece)
            pieces.append(piece)
        return b"".join(pieces)

    def finish(self) -> Receipt:
        """See OutputStream."""
        if self._receipt is None:
            raise CephError(f"The output of {self._command.program} was not read to a good end.")
        return self._receipt

    def abort(self) -> None:
        """See OutputStream."""
        self._command.close()

    def _take_in(self) -> None:
        came = self._command.receive()
        if came is None:
            receipt = self._command.prove(self._count, self._digest.hexdigest())
            if self._unpacker.rest:
                raise self._command.damaged(f"{self._unpacker.rest} bytes more came than were sent")
            self._receipt = receipt
        elif came:
            data = self._unpacked(came)
            self._digest.update(data)
            self._count += len(data)
            self._rest = memoryview(data)

    def _unpacked(self, came: bytes) -> bytes:
        try:
            return self._unpacker.feed(came)
        except unpacking.Damaged:
            raise self._command.damaged(f"after {self._count} bytes it cannot be unpacked") from None


class PodInput(InputStream):
    """The stdin of a command in a pod. The far side keeps the last byte back until the seal has come and fits."""

    def __init__(self, command: FarCommand) -> None:
        self._command = command
        self._digest = hashlib.sha256()
        self._buffer = bytearray()

    def write(self, data: bytes) -> None:
        """See InputStream."""
        for start in range(0, len(data), READ_SIZE):
            piece = data[start : start + READ_SIZE]
            if len(self._buffer) + len(piece) > READ_SIZE:
                self._flush()
            self._buffer += piece

    def finish(self) -> Receipt:
        """See InputStream."""
        self._flush()
        self._command.send(frame(b"") + frame(struct.pack(">Q", self._command.sent) + self._digest.digest()))
        while self._command.receive() is not None:
            pass
        return self._command.prove(self._command.sent, self._digest.hexdigest())

    def abort(self) -> None:
        """See InputStream."""
        self._command.close()

    def _flush(self) -> None:
        command, data = self._command, bytes(self._buffer)
        while command.sent + len(data) - command.acknowledged > WINDOW:
            if command.receive() is None:
                command.prove(command.sent, self._digest.hexdigest())
        if data:
            self._digest.update(data)
            command.sent += len(data)
            command.send(frame(data))
            self._buffer.clear()
