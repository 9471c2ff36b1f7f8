# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: UP006  (Python 3.6 knows neither postponed annotations nor dict[...])
"""The half of a pod's Runner that runs inside the pod, beside the command: it counts and hashes what passes, says how
the command ended, and never leaves it running alone.

This file, child.py and packing.py are sent into the pod; nothing is installed there. Standard library only, and
Python 3.6 (Ceph 16 images hold no newer one).

What comes in on stdin is frames (4 bytes length, big endian, then that many bytes): the request as JSON; then, for a
command that takes input, its data, an empty frame, and the seal: 8 bytes count and the SHA-256 of all data. Started
without a command it serves one request after the other, each with its own command, none of which takes input.
What goes out: the command's stdout on stdout, in pieces of packing.py where the request allows that, their count and
SHA-256 being those of what the command wrote; and on stderr lines of the request's token and JSON, one of
``beat`` (still here), ``ack`` (so many bytes of input are with the command) and, once, ``end``.
An end of stdin before the command's means that the near side is gone.
"""

import collections
import errno
import hashlib
import json
import os
import select
import struct
import time
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.child import PIPE_SIZE, Child, enlarge
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.packing import Packer

BEAT = 10.0
ACK = 1 << 19
IDLE = 60.0
_STDIN, _STDOUT, _STDERR = 0, 1, 2


class Over(Exception):
    """The command has to go: ``stalled``, ``late``, ``gone`` (the near side) or ``mismatch`` (of the input)."""


class Intake:
    """Takes frames apart and holds the last byte of the data back until the seal fits, so that a command that ends
    by itself at the end of its data (as ``rbd import-diff`` does) cannot do so before it is known to be whole."""

    def __init__(self) -> None:
        self.ready: t.Deque[memoryview] = collections.deque()
        self.sealed = False
        self._buffer = bytearray()
        self._held = b""
        self._count = 0
        self._digest = hashlib.sha256()
        self._at_seal = False

    def feed(self, data: bytes) -> None:
        """Take in *data*. Raises Over when the seal does not fit."""
        self._buffer += data
        while len(self._buffer) >= 4:
            end = 4 + struct.unpack(">I", self._buffer[:4])[0]
            if len(self._buffer) < end:
                return
            frame = bytes(self._buffer[4:end])
            del self._buffer[:end]
            if self._at_seal:
                if frame != struct.pack(">Q", self._count) + self._digest.digest():
                    raise Over("mismatch")
                self.sealed = True
                self._release(memoryview(self._held))
            elif frame:
                self._count += len(frame)
                self._digest.update(frame)
                self._release(memoryview(self._held))
                self._release(memoryview(frame)[:-1])
                self._held = frame[-1:]
            else:
                self._at_seal = True

    def _release(self, data: memoryview) -> None:
        if data:
            self.ready.append(data)

    def taken(self, count: int) -> None:
        """Strike out *count* bytes of the first piece that is ready."""
        rest = self.ready.popleft()[count:]
        if rest:
            self.ready.appendleft(rest)


class Session:
    """One command and its two ends."""

    def __init__(self, child: Child, request: t.Dict[str, t.Any]) -> None:
        self._child = child
        self._token = request["token"]
        self._stall = request["stall"]
        self._takes_input = request["input"]
        self._intake = Intake()
        self._packer = Packer(request["pack"], PIPE_SIZE) if request["pack"] else None
        self._pending = memoryview(b"")
        self._digest = hashlib.sha256()
        self._count = 0
        self._acked = 0
        now = time.monotonic()
        self._moved = now
        self._beat = now
        self._limit = now + request["limit"]

    def serve(self) -> t.Dict[str, t.Any]:
        """Carry bytes until the command has ended, or has to be ended, and say how it went."""
        why = ""
        try:
            while self._child.exit_code() is None or self._carries():
                self._step()
        except Over as over:
            why = str(over)
        rc = self._child.exit_code()
        self._child.end()
        return {
            "rc": rc,
            "why": why,
            "bytes": self._count,
            "sha256": self._digest.hexdigest(),
            "stderr": self._child.words.text(),
        }

    @property
    def unread(self) -> bool:
        """Whether the near side may still be sending input."""
        return bool(self._takes_input) and not self._intake.sealed

    def say(self, what: t.Dict[str, t.Any]) -> bool:
        """Send a line if the near side takes it now; say whether it did."""
        return write(_STDERR, memoryview(line(self._token, what))) > 0

    def _carries(self) -> bool:
        return self._child.stdout >= 0 or self._child.stderr >= 0 or bool(self._pending)

    def _step(self) -> None:
        child = self._child
        ready = self._wait()
        before = (self._count, len(self._pending))
        moved = child.stderr in ready and child.listen()
        if child.stdout in ready:
            data = child.read(PIPE_SIZE)
            self._pass_on(data)
        if self._pending:
            self._pending = self._pending[write(_STDOUT, self._pending) :]
        if _STDIN in ready:
            moved = self._take_in() or moved
        if self._intake.ready and child.stdin in ready:
            self._hand_over()
        if self._intake.sealed and not self._intake.ready:
            child.close_stdin()
        self._keep_in_touch(moved or before != (self._count, len(self._pending)))

    def _wait(self) -> t.Dict[int, int]:
        child = self._child
        poller = select.poll()
        poller.register(_STDOUT, select.POLLOUT if self._pending else 0)
        poller.register(_STDERR, 0)
        poller.register(_STDIN, select.POLLIN)
        if child.stdout >= 0 and not self._pending:
            poller.register(child.stdout, select.POLLIN)
        if child.stderr >= 0:
            poller.register(child.stderr, select.POLLIN)
        if child.stdin >= 0 and self._intake.ready:
            poller.register(child.stdin, select.POLLOUT)
        ready = dict(poller.poll(1000 if self._carries() else 20))
        for end in (_STDOUT, _STDERR):
            if ready.get(end, 0) & (select.POLLERR | select.POLLNVAL):
                raise Over("gone")
        return ready

    def _pass_on(self, data: bytes) -> None:
        if self._takes_input:
            return  # rbd says nothing there, and the count and the digest are those of the input
        self._count += len(data)
        self._digest.update(data)
        self._pending = memoryview(self._packer.pack(data) if self._packer and data else data)

    def _take_in(self) -> bool:
        data = os.read(_STDIN, PIPE_SIZE)
        if not data:
            raise Over("gone")
        if self._takes_input:
            self._intake.feed(data)
        return True

    def _hand_over(self) -> None:
        data = self._intake.ready[0]
        try:
            count = self._child.write(data)
        except OSError:
            self._child.close_stdin()  # it ended: its exit code says the rest
            return
        self._digest.update(data[:count])
        self._count += count
        self._intake.taken(count)

    def _keep_in_touch(self, moved: bool) -> None:
        now = time.monotonic()
        if moved:
            self._moved = now
        elif now - self._moved > self._stall:
            raise Over("stalled")
        if now > self._limit:
            raise Over("late")
        due = self._count - self._acked >= (1 if not self._intake.ready else ACK)
        if self._takes_input and due and self.say({"ack": self._count}):
            self._acked = self._count
        if now - self._beat > BEAT:
            self._beat = now
            self.say({"beat": self._count})


def line(token: str, what: t.Dict[str, t.Any]) -> bytes:
    """Return *what* as a line of stderr that the near side believes."""
    return f"{token} {json.dumps(what)}\n".encode("ascii")


def write(descriptor: int, data: memoryview) -> int:
    """Write what *descriptor* takes now; return how much that was. Raises Over when nobody reads any more."""
    try:
        return os.write(descriptor, data)
    except BlockingIOError:
        return 0
    except OSError as error:
        if error.errno in (errno.EPIPE, errno.EBADF):
            raise Over("gone") from None
        raise


def main(argv: t.Sequence[str], read_frame: t.Callable[[], bytes]) -> None:
    """Serve the request for *argv*, or if that is empty, requests that name their commands, until none comes for a
    minute. The end of each command is told in full unless the near side is gone."""
    for descriptor in (_STDOUT, _STDERR):
        os.set_blocking(descriptor, False)
    enlarge(_STDOUT)
    poller = select.poll()
    poller.register(_STDIN, select.POLLIN)
    try:
        if argv:
            serve(argv, read_request(read_frame))
            return
        while poller.poll(IDLE * 1000):
            request = read_request(read_frame)
            # as arguments would come: without a locale, as in a container, Python 3.6 knows no more than ASCII
            argv = [os.fsdecode(part.encode("utf-8", "surrogateescape")) for part in request["argv"]]
            if not serve(argv, request):
                return
    except Over:
        raise SystemExit(1) from None


def read_request(read_frame: t.Callable[[], bytes]) -> t.Dict[str, t.Any]:
    """Return the request that comes next."""
    return dict(json.loads(read_frame().decode("utf-8")))


def serve(argv: t.Sequence[str], request: t.Dict[str, t.Any]) -> bool:
    """Run one command and tell its end; say whether it ended by itself, so that nothing is left of it on the wire.
    Raises Over when the near side is gone."""
    unread = request["input"]
    try:
        child = Child(argv, request["input"])
    except OSError as error:
        end = {"rc": None, "why": "start", "bytes": 0, "sha256": "", "stderr": str(error)}
    else:
        try:
            session = Session(child, request)
            end = session.serve()
            unread = session.unread
        finally:
            child.end()
    tell(memoryview(line(request["token"], {"end": end})), request["stall"])
    if unread:
        drain()
    return not end["why"]


def tell(rest: memoryview, seconds: float) -> None:
    """Write the last line, waiting until the near side takes it. Raises Over when nobody reads any more."""
    deadline = time.monotonic() + seconds
    poller = select.poll()
    poller.register(_STDERR, select.POLLOUT)
    while rest and time.monotonic() < deadline:
        poller.poll(1000)
        rest = rest[write(_STDERR, rest) :]


def drain() -> None:
    """Throw away the input that is still on its way: with some of it unread, the end of this program would wait for
    it, and the near side for that. The near side closes the connection when it has read the last line."""
    poller = select.poll()
    poller.register(_STDIN, select.POLLIN)
    while poller.poll(6 * BEAT * 1000):
        if not os.read(_STDIN, PIPE_SIZE):
            break
