# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs Ceph's commands on this host."""

from __future__ import annotations

import math
import select
import time
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph import failures
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.child import Child
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.runner import (
    READ_SIZE,
    Completed,
    InputStream,
    OutputStream,
    Receipt,
    Runner,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import CephError


class LocalRunner(Runner):
    """Commands as children of this process."""

    def run(self, argv: t.Sequence[str], timeout: float) -> Completed:
        """See Runner."""
        with _Watched(argv, takes_input=False, stall_timeout=math.inf, timeout=timeout) as watched:
            pieces = []
            while watched.child.stdout >= 0:
                watched.wait_for(watched.child.stdout, select.POLLIN)
                pieces.append(watched.child.read(READ_SIZE))
            return Completed(watched.wait(), b"".join(pieces), watched.child.words.text())

    def open_output(
        self, argv: t.Sequence[str], stall_timeout: float, timeout: float = math.inf
    ) -> OutputStream:
        """See Runner."""
        return _LocalOutput(_Watched(argv, takes_input=False, stall_timeout=stall_timeout, timeout=timeout))

    def open_input(self, argv: t.Sequence[str], stall_timeout: float) -> InputStream:
        """See Runner."""
        return _LocalInput(_Watched(argv, takes_input=True, stall_timeout=stall_timeout))

    def describe(self) -> str:
        """See Runner."""
        return "local rbd"


class _Watched:
    """A child that is listened to while it is waited for, and killed when it takes too long."""

    def __init__(
        self, argv: t.Sequence[str], takes_input: bool, stall_timeout: float, timeout: float = math.inf
    ) -> None:
        self.program = argv[0]
        try:
            self.child = Child(argv, takes_input)
        except OSError as error:
            raise CephError(
                f"{self.program} could not be started on this host: {error}. Install ceph-common, or reach Ceph "
                "through a pod."
            ) from None
        self._stall_timeout = stall_timeout
        self._timeout = timeout
        self._limit = time.monotonic() + timeout

    def __enter__(self) -> _Watched:
        return self

    def __exit__(self, *_: object) -> None:
        self.child.end()

    def wait_for(self, descriptor: int, event: int) -> None:
        """Return when *descriptor* is ready for *event*, or broken. Raises CephError after the time-outs."""
        deadline = time.monotonic() + self._stall_timeout
        while True:
            poller = select.poll()
            if self.child.stderr >= 0:
                poller.register(self.child.stderr, select.POLLIN)
            if descriptor >= 0:
                poller.register(descriptor, event)
            ready = dict(poller.poll(self._remaining(deadline) * 1000))
            if self.child.stderr in ready and descriptor != self.child.stderr and self.child.listen():
                deadline = time.monotonic() + self._stall_timeout
            if descriptor in ready:
                return

    def wait(self) -> int:
        """Wait for the end of a child whose stdout has ended, and return its exit code."""
        while self.child.stderr >= 0:
            self.wait_for(self.child.stderr, select.POLLIN)
            self.child.listen()
        rc = self.child.exit_code(self._remaining(time.monotonic() + self._stall_timeout))
        if rc is None:
            raise self._too_long()
        return rc

    def prove(self) -> None:
        """Wait for the end. Raises CephError unless the exit code is 0."""
        rc = self.wait()
        if rc != 0:
            raise failures.ended(self.program, rc, self.child.words.text())

    def _remaining(self, deadline: float) -> float:
        remaining = min(deadline, self._limit) - time.monotonic()
        if remaining <= 0:
            raise self._too_long()
        return min(remaining, 3600.0)  # poll() takes no infinity

    def _too_long(self) -> CephError:
        self.child.end()
        said = self.child.words.text()
        if time.monotonic() >= self._limit:
            return failures.late(self.program, self._timeout, said)
        return failures.stalled(self.program, self._stall_timeout, said)


class _LocalOutput(OutputStream):
    """A pipe carries all or nothing: what was read from it is what the command wrote, and needs no hash to prove it."""

    def __init__(self, watched: _Watched) -> None:
        self._watched = watched
        self._count = 0
        self._receipt: Receipt | None = None

    def read(self, size: int = READ_SIZE) -> bytes:
        child = self._watched.child
        if child.stdout < 0:
            self.finish()
            return b""
        self._watched.wait_for(child.stdout, select.POLLIN)
        data = child.read(size)
        self._count += len(data)
        if not data:
            self._watched.prove()
            self._receipt = Receipt(self._count, child.words.text())
            child.end()
        return data

    def finish(self) -> Receipt:
        if self._receipt is None:
            raise CephError(f"The output of {self._watched.program} was not read to a good end.")
        return self._receipt

    def abort(self) -> None:
        self._watched.child.end()


class _LocalInput(InputStream):
    """Keeps the last byte back until ``finish()``: ``rbd import-diff`` completes at the final record, not at the end
    of its input, and must not do so before the writer has found its own side in order."""

    def __init__(self, watched: _Watched) -> None:
        self._watched = watched
        self._count = 0
        self._held = b""

    def write(self, data: bytes) -> None:
        if not data:
            return
        self._count += len(data)
        self._hand_over(memoryview(self._held))
        self._hand_over(memoryview(data)[:-1])
        self._held = bytes(data[-1:])

    def finish(self) -> Receipt:
        child = self._watched.child
        self._hand_over(memoryview(self._held))
        child.close_stdin()
        self._drain()
        self._watched.prove()
        child.end()
        return Receipt(self._count, child.words.text())

    def abort(self) -> None:
        self._watched.child.end()

    def _hand_over(self, data: memoryview) -> None:
        child = self._watched.child
        while data:
            self._watched.wait_for(child.stdin, select.POLLOUT)
            try:
                data = data[child.write(data) :]
            except BrokenPipeError:
                self._drain()
                self._watched.prove()
                raise CephError(
                    f"{self._watched.program} ended before it had taken all of its input."
                ) from None

    def _drain(self) -> None:
        child = self._watched.child
        while child.stdout >= 0:
            self._watched.wait_for(child.stdout, select.POLLIN)
            child.read(READ_SIZE)
