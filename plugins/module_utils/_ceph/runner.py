# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What it takes to run a Ceph command somewhere and to trust what came back.

A Runner knows where commands run, not what they mean: it is given argument lists and gives back exit codes and bytes.
Whether the bytes travel through this process or a stream is consumed where it is made is a matter of the caller.
"""

from __future__ import annotations

import abc
import dataclasses
import math
import types
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.child import TAIL

READ_SIZE = 1 << 20
"""How much is asked of a stream in one read, and sent in one frame, in bytes."""


@dataclasses.dataclass(frozen=True)
class Completed:
    """A command that ended by itself. ``stderr`` holds its last 64 KiB."""

    rc: int
    stdout: bytes
    stderr: str

    @property
    def is_cut(self) -> bool:
        """Whether it may have said more on stderr than is left of it."""
        return len(self.stderr.encode("utf-8", "replace")) >= TAIL


@dataclasses.dataclass(frozen=True)
class Receipt:
    """A stream that was carried whole by a command that ended well: ``bytes`` as counted where the command ran."""

    bytes: int
    stderr: str


class Stream(abc.ABC):
    """One end of a running command. A context manager: leaving it aborts what is not finished."""

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: types.TracebackType | None,
    ) -> None:
        self.abort()

    @abc.abstractmethod
    def finish(self) -> Receipt:
        """Prove that the stream was carried whole and the command ended well. Raises CephError otherwise."""

    @abc.abstractmethod
    def abort(self) -> None:
        """Kill the command if it still runs, and let go of everything. Does nothing after ``finish()``."""


_Self = t.TypeVar("_Self", bound=Stream)


class OutputStream(Stream):
    """The stdout of a running command. A context manager: leaving it kills a command that has not ended."""

    @abc.abstractmethod
    def read(self, size: int = READ_SIZE) -> bytes:
        """Return at most *size* bytes; ``b""`` at the end, which is returned only when the stream is proved: the
        command exited 0, and where it ran elsewhere, the count and the SHA-256 are the same there and here.

        Raises CephError when the command failed, nothing moved for the stall time-out, or the connection was lost.
        """


class InputStream(Stream):
    """The stdin of a running command. A context manager: leaving it without ``finish()`` kills the command before
    it can see the end of its input and take what it got for the whole."""

    @abc.abstractmethod
    def write(self, data: bytes) -> None:
        """Hand *data* to the command. Raises CephError when it ended, or took nothing for the stall time-out."""


class Runner(abc.ABC):
    """A place where Ceph commands run. Safe to use from several threads; a stream belongs to one thread.

    Time-outs are in seconds. A stall time-out is the longest that a stream may stand still with neither data nor a
    word on stderr. Errors are CephError; where the command ended, ``details`` hold its ``rc`` and ``stderr``.
    """

    @abc.abstractmethod
    def run(self, argv: t.Sequence[str], timeout: float) -> Completed:
        """Run *argv* to its end, whatever its exit code. Raises CephError when it does not end in *timeout*."""

    @abc.abstractmethod
    def open_output(
        self, argv: t.Sequence[str], stall_timeout: float, timeout: float = math.inf
    ) -> OutputStream:
        """Start *argv* and read what it writes. It is ended after *timeout*, however well it goes on."""

    @abc.abstractmethod
    def open_input(self, argv: t.Sequence[str], stall_timeout: float) -> InputStream:
        """Start *argv* and write what it reads."""

    @abc.abstractmethod
    def describe(self) -> str:
        """Say where commands run, in words for a message: "local rbd", "pod rook-ceph/rook-ceph-tools-5d8f"."""

    def close(self) -> None:  # noqa: B027  (most runners hold nothing)
        """Let go of connections. Open streams are not touched."""
