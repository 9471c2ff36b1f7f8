# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The processes of this machine that name an image: what a command left behind, also inside the lab's pods."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import time
import typing as t


def about(word: str) -> dict[int, list[str]]:
    """Return the command lines, by process id, of the processes that have *word* in one of their arguments."""
    found = {}
    for directory in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            words = (directory / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue  # it ended meanwhile
        if any(word in argument for argument in words) and int(directory.name) != os.getpid():
            found[int(directory.name)] = words
    return found


def rbd_about(word: str) -> list[int]:
    """Return the ids of the rbd processes among them."""
    return [pid for pid, words in about(word).items() if words[0] == "rbd"]


def eventually(condition: t.Callable[[], object], seconds: float = 60) -> None:
    """Wait until *condition* holds; fail after *seconds*, which are for a machine that does much else beside."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it did not come to be within {seconds:g} s"
        time.sleep(0.05)


@contextlib.contextmanager
def another_process(start: t.Callable[[], object]) -> t.Iterator[None]:
    """Let another process do *start* and stay as it then is."""
    ready, done = os.pipe()
    child = os.fork()
    if child == 0:
        start()
        os.write(done, b".")
        while True:
            signal.pause()
    try:
        assert os.read(ready, 1) == b"."
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(ready)
        os.close(done)
