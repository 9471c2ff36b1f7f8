# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fault injection: connections to commands in the lab's pods that change what they carry."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph import pod
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.exec import STDOUT

Came = t.Callable[[int, bytes], list[tuple[int, bytes]]]


class Meddler:
    """A connection that changes the frames which a real one carries."""

    def __init__(
        self,
        stream: t.Any,
        came: Came = lambda channel, data: [(channel, data)],
        sent: t.Callable[[bytes], bytes] = lambda data: data,
    ) -> None:
        self._stream = stream
        self._came = came
        self._sent = sent
        self._frames: list[tuple[int, bytes]] = []

    def read_frame(self) -> tuple[int, bytes] | None:
        """Hand on what *came* makes of the next frame."""
        while not self._frames:
            frame = self._stream.read_frame()
            if frame is None:
                return None
            self._frames = self._came(*frame)
        return self._frames.pop(0)

    def send(self, data: bytes) -> None:
        """Send what *sent* makes of *data*."""
        self._stream.send(self._sent(data))

    def __getattr__(self, name: str) -> t.Any:
        return getattr(self._stream, name)


def meddle(monkeypatch: pytest.MonkeyPatch, **how: t.Any) -> None:
    """Let a Meddler stand in every connection from now on."""
    real = pod.open_exec
    monkeypatch.setattr(pod, "open_exec", lambda *args, **kwargs: Meddler(real(*args, **kwargs), **how))


def meddle_with_exports(
    monkeypatch: pytest.MonkeyPatch, fault: t.Callable[[], Came], times: int
) -> list[Came]:
    """Let a Meddler with a new *fault* stand in the next *times* connections to ``rbd export-diff``. Returns the
    faults, as they begin."""
    real = pod.open_exec
    begun: list[Came] = []

    def open_exec(*args: t.Any, **kwargs: t.Any) -> t.Any:
        stream = real(*args, **kwargs)
        if "export-diff" not in args[4] or len(begun) == times:
            return stream
        begun.append(fault())
        return Meddler(stream, begun[-1])

    monkeypatch.setattr(pod, "open_exec", open_exec)
    return begun


class Late:
    """Does something to the eighth frame of stdout, or to *every* one from there on, and nothing to the others."""

    def __init__(self, fault: t.Callable[[bytes], list[bytes]], every: bool = False) -> None:
        self._fault = fault
        self._every = every
        self._seen = 0

    def __call__(self, channel: int, data: bytes) -> list[tuple[int, bytes]]:
        self._seen += channel == STDOUT
        if channel != STDOUT or self._seen < 8 or (self._seen > 8 and not self._every):
            return [(channel, data)]
        return [(channel, piece) for piece in self._fault(data)]


LATE_FAULTS: dict[str, t.Callable[[], Late]] = {
    "lost": lambda: Late(lambda data: []),
    "truncated": lambda: Late(lambda data: [], every=True),
    "cut": lambda: Late(lambda data: [data[:-1]]),
    "twice": lambda: Late(lambda data: [data, data]),
    "bit": lambda: Late(lambda data: [bytes((data[0] ^ 1,)) + data[1:]]),
}
