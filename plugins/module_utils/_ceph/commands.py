# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs commands by a Runner so that every failure says what was being done, and where."""

from __future__ import annotations

import math
import signal
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph import failures
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.runner import (
    READ_SIZE,
    Completed,
    InputStream,
    OutputStream,
    Receipt,
    Runner,
    Stream,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import CephError

# rbd crashes now and then while it starts threads on a busy machine (seen with 16.2: std::system_error).
_CRASHES = (-signal.SIGABRT, -signal.SIGSEGV)

Answer = t.TypeVar("Answer")
AnyStream = t.TypeVar("AnyStream", bound=Stream)


class Commands:
    """*timeout* is for a whole command, *stall_timeout* for one that stands still; both in seconds.

    *doing* says what a command does, for errors: "reading image pool/image". Every method raises CephError when the
    command fails or does not end in time, and NotFound when Ceph said that what it is about does not exist.
    """

    def __init__(self, runner: Runner, timeout: float, stall_timeout: float) -> None:
        self._runner = runner
        self._timeout = timeout
        self._stall_timeout = stall_timeout

    @property
    def where(self) -> str:
        """Where commands run, in words."""
        return self._runner.describe()

    def run(self, doing: str, argv: t.Sequence[str]) -> None:
        """Run what may change something, exactly once."""
        self.told(doing, lambda: _good(argv, self._runner.run(argv, self._timeout)))

    def run_long(self, doing: str, argv: t.Sequence[str]) -> None:
        """Run what may take as long as it likes while its progress display moves."""
        with self.open_output(doing, argv) as output:
            while output.read():
                pass

    def look(self, doing: str, argv: t.Sequence[str]) -> bytes:
        """Run what changes nothing: once more where the program crashed. Returns its stdout."""
        return self.told(doing, lambda: _good(argv, self._look(argv, self._timeout))).stdout

    def look_long(
        self, doing: str, argv: t.Sequence[str], is_good: t.Callable[[Completed], bool]
    ) -> Completed:
        """The same for what is limited by the stall time-out alone, and *is_good* also with another exit code."""

        def look() -> Completed:
            completed = self._look(argv, self._stall_timeout)
            return completed if is_good(completed) else _good(argv, completed)

        return self.told(doing, look)

    def ask(self, doing: str, argv: t.Sequence[str], read: t.Callable[[bytes], Answer]) -> Answer:
        """Run what changes nothing, and return what *read* makes of its stdout; *read* raises CephError."""
        answer = self.look(doing, argv)
        return self.told(doing, lambda: read(answer))

    def open_output(self, doing: str, argv: t.Sequence[str], timeout: float = math.inf) -> OutputStream:
        """Start *argv* and read what it writes; see Runner."""
        return _Output(self, doing, lambda: self._runner.open_output(argv, self._stall_timeout, timeout))

    def open_input(self, doing: str, argv: t.Sequence[str]) -> InputStream:
        """Start *argv* and write what it reads; see Runner."""
        return _Input(self, doing, lambda: self._runner.open_input(argv, self._stall_timeout))

    def told(self, doing: str, call: t.Callable[[], Answer]) -> Answer:
        """Return what *call* returns; its CephError says what was being done."""
        try:
            return call()
        except CephError as error:
            message = f"{doing[0].upper()}{doing[1:]} failed ({self.where}): {error.message}"
            raise type(error)(message, **{**error.details, "where": self.where}) from None

    def close(self) -> None:
        """Let go of the runner's connections."""
        self._runner.close()

    def _look(self, argv: t.Sequence[str], timeout: float) -> Completed:
        completed = self._runner.run(argv, timeout)
        return self._runner.run(argv, timeout) if completed.rc in _CRASHES else completed


def _good(argv: t.Sequence[str], completed: Completed) -> Completed:
    if completed.rc != 0:
        raise failures.ended(argv[0], completed.rc, completed.stderr)
    return completed


class _Told(t.Generic[AnyStream]):
    """A stream whose errors say what was being done."""

    def __init__(self, commands: Commands, doing: str, start: t.Callable[[], AnyStream]) -> None:
        self._commands = commands
        self._doing = doing
        self._stream: AnyStream = commands.told(doing, start)

    def finish(self) -> Receipt:
        return self._commands.told(self._doing, self._stream.finish)

    def abort(self) -> None:
        self._stream.abort()


class _Output(_Told[OutputStream], OutputStream):
    def read(self, size: int = READ_SIZE) -> bytes:
        return self._commands.told(self._doing, lambda: self._stream.read(size))


class _Input(_Told[InputStream], InputStream):
    def write(self, data: bytes) -> None:
        self._commands.told(self._doing, lambda: self._stream.write(data))
