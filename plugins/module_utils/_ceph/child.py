# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: FA100  (Python 3.6 knows neither postponed annotations nor dict[...])
"""Starts one command as a child, keeps the end of its stderr, and ends it for certain.

Sent into pods as part of the far side: standard library only, and Python 3.6 (Ceph 16 images hold no newer one).
"""

import fcntl
import os
import signal
import subprocess
import typing as t

TAIL = 64 * 1024
PIPE_SIZE = 1 << 20
_F_SETPIPE_SZ = 1031  # fcntl.F_SETPIPE_SZ is not there before Python 3.10


class Tail:
    """The last 64 KiB of what was added."""

    def __init__(self) -> None:
        self._data = bytearray()

    def add(self, data: bytes) -> None:
        """Append *data*, forgetting the oldest."""
        self._data += data
        if len(self._data) > TAIL:
            del self._data[:-TAIL]

    def text(self) -> str:
        """Return what is kept, as text."""
        return self._data.decode("utf-8", "replace")


class Child:
    """A running command in a process group of its own. Its pipes are ``stdin`` (-1 if it takes none, non-blocking),
    ``stdout`` and ``stderr``; a closed one is -1."""

    def __init__(self, argv: t.Sequence[str], takes_input: bool) -> None:
        """Start *argv*. Raises OSError when there is no such program."""
        self._process = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE if takes_input else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.words = Tail()
        self.stdin = _keep(self._process.stdin)
        self.stdout = _keep(self._process.stdout)
        self.stderr = _keep(self._process.stderr)
        if takes_input:
            os.set_blocking(self.stdin, False)

    def read(self, size: int) -> bytes:
        """Return what stdout holds, at most *size* bytes; at its end close it and return nothing."""
        data = os.read(self.stdout, size)
        if not data:
            os.close(self.stdout)
            self.stdout = -1
        return data

    def listen(self) -> bool:
        """Take up what stderr holds; at its end close it. Return whether there was anything."""
        data = os.read(self.stderr, TAIL)
        if not data:
            os.close(self.stderr)
            self.stderr = -1
        self.words.add(data)
        return bool(data)

    def write(self, data: t.Union[bytes, memoryview]) -> int:
        """Write to stdin what it takes now and return how much that was. Raises OSError when nobody reads."""
        try:
            return os.write(self.stdin, data)
        except BlockingIOError:
            return 0

    def close_stdin(self) -> None:
        """Let the command see the end of its input."""
        if self.stdin >= 0:
            os.close(self.stdin)
            self.stdin = -1

    def exit_code(self, timeout: float = 0.0) -> t.Optional[int]:
        """Return the exit code (negative: the signal), or None if the command runs on after *timeout* seconds."""
        if not timeout:
            return self._process.poll()
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def end(self) -> None:
        """Kill the command and what it started if it still runs, before it can see the end of its input; reap it."""
        if self._process.returncode is None:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self._process.wait()
        for name in ("stdin", "stdout", "stderr"):
            if getattr(self, name) >= 0:
                os.close(getattr(self, name))
                setattr(self, name, -1)


def _keep(pipe: t.Any) -> int:
    """Take the descriptor out of *pipe*, which would close it when it goes, and make the pipe large."""
    if pipe is None:
        return -1
    descriptor = os.dup(pipe.fileno())
    pipe.close()
    enlarge(descriptor)
    return descriptor


def enlarge(descriptor: int) -> None:
    """Let a pipe hold more, so that both its ends are woken less often."""
    try:
        fcntl.fcntl(descriptor, _F_SETPIPE_SZ, PIPE_SIZE)
    except OSError:
        pass  # a limit of the host (pipe-user-pages-soft): smaller pipes are only slower
