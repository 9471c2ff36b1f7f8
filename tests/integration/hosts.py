# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Another host: a process in network, host name and process namespaces of its own, with the backup directory shared.

What is real: it sees neither this host's processes nor its name, and it can be killed. What is simulated: it has the
same kernel, boot and machine id, and so the same kernel locks; where it shall not see this host's locks, as over a
share without locking, its attempts to lock are made to succeed.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import typing as t

from ansible_collections.rbd_backup.gfs.tests.integration.processes import eventually

TESTS = pathlib.Path(__file__).resolve().parents[1]
_PREPARE = """
import os, signal, sys, time
sys.path.insert(0, sys.argv[1])
import conftest
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive import lock, readers
if sys.argv[2] == "blind":
    lock._set_lock = lambda descriptor, kind: None
directory, seconds = sys.argv[3], float(sys.argv[4])
def say(text):
    print(text, flush=True)
"""
HOLD = """
with lock.VolumeLock(directory, seconds):
    say("holds")
    sys.stdin.readline()
    try:
        from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.held import check_held
        check_held(directory)
        say("still holds")
    except Exception as error:
        say(error.message)
"""
READ = """
with readers.ReaderLock(directory, seconds):
    say("holds")
    sys.stdin.readline()
"""


class Host:
    """A process on another host, which holds or reads a directory."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def line(self) -> str:
        """The next line that it says."""
        return t.cast(t.IO[str], self._process.stdout).readline().rstrip("\n")

    def go_on(self) -> None:
        """Let it go on."""
        with contextlib.suppress(BrokenPipeError):
            t.cast(t.IO[str], self._process.stdin).close()

    def freeze(self) -> None:
        """Cut it off, as a host that hangs: it renews nothing."""
        for pid in self._pids():
            os.kill(pid, signal.SIGSTOP)
        eventually(lambda: all(_state(pid) == "T" for pid in self._pids()))

    def thaw(self) -> None:
        """Let it come back."""
        for pid in self._pids():
            os.kill(pid, signal.SIGCONT)

    def ended(self) -> None:
        """Wait until it has ended by itself, and so has given back what it held."""
        self._process.wait(timeout=60)

    def kill(self) -> None:
        """End it at once."""
        for pid in self._pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()

    def _pids(self) -> list[int]:
        # unshare waits for the process that it made
        children = pathlib.Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return [int(pid) for pid in children.read_text().split()] if children.exists() else []


@contextlib.contextmanager
def other_host(
    name: str, directory: pathlib.Path, work: str = HOLD, blind: bool = True, seconds: float = 300
) -> t.Iterator[Host]:
    """Do *work* in *directory* on a host called *name*; *blind*: it does not see this host's locks."""
    program = f"import socket\nsocket.sethostname({name!r})\n{_PREPARE}{work}"
    command = ["unshare", "--fork", "--pid", "--mount-proc", "--net", "--uts", sys.executable, "-c", program]
    arguments = [str(TESTS), "blind" if blind else "sees", str(directory), str(seconds)]
    with subprocess.Popen(
        [*command, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        host = Host(process)
        try:
            yield host
        finally:
            host.kill()


def content(directory: pathlib.Path) -> dict[str, t.Any]:
    """The lease in a directory's lock."""
    found: dict[str, t.Any] = json.loads((directory / ".lock").read_text())
    return found


def _state(pid: int) -> str:
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
