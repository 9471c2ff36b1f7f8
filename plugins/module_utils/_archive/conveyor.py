# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands pieces of a stream to a second thread, in order, so that two steps of the work go on at the same time."""

from __future__ import annotations

import queue
import threading
import typing as t

_DEPTH = 4


class Conveyor:
    """Calls *take* with every piece that is put in, one after the other, in a thread of its own.

    At most a few pieces wait; then ``put`` waits too. What *take* raises stops it, and is raised by the next ``put`` or
    by ``finish``.
    """

    def __init__(self, take: t.Callable[[bytes], None]) -> None:
        self._take = take
        self._pieces: queue.Queue[bytes | None] = queue.Queue(_DEPTH)
        self._error: BaseException | None = None
        self._stopped = False
        self._thread: threading.Thread | None = None

    def put(self, piece: bytes) -> None:
        """Hand *piece* over."""
        self._raise()
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, daemon=True)
            self._thread.start()
        self._pieces.put(piece)

    def finish(self) -> None:
        """Wait until everything was taken."""
        self._end()
        self._raise()

    def stop(self) -> None:
        """Throw away what was not taken yet, and let go of *take*. Nothing may be put in from then on."""
        self._stopped = True
        self._end()
        # *take* is a method of who holds this, or an error has come from there. In a circle with it a compressor and
        # its threads would wait for the garbage collector, which in a forked child waits for those threads for ever.
        self._take = _nothing
        self._error = None

    def _end(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            self._pieces.put(None)
            thread.join()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        while True:
            piece = self._pieces.get()
            if piece is None:
                return
            if self._stopped or self._error is not None:
                continue
            try:
                self._take(piece)
            except (
                BaseException
            ) as error:  # whatever it is, it belongs to the thread that waits for the archive
                self._error = error


def _nothing(_piece: bytes) -> None:
    """Take a piece, and do nothing with it."""
