# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kills a process before each of its calls to the operating system, one after the other.

Fault injection, and nothing else: the child is forked, its calls are counted, and before the chosen one it sends
SIGKILL to itself. What the file system then holds is what a real kill at that place leaves.
"""

from __future__ import annotations

import os
import signal
import traceback
import typing as t

CALLS = ("open", "write", "close", "fsync", "rename", "unlink", "mkdir", "chmod", "fchmod", "ftruncate")


def killed_before_call(number: int, work: t.Callable[[], object]) -> bool:
    """Run *work* in a forked process that dies before call *number* (from 1); return whether it died there.

    False: *work* made fewer calls and came to its end. A failure of *work* fails the test.
    """
    child = os.fork()
    if not child:
        _run_child(number, work)
    _pid, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return True
    assert status == 0, f"the child failed with status {status}: see its traceback on stderr"
    return False


def _run_child(number: int, work: t.Callable[[], object]) -> t.NoReturn:
    count = 0

    def counted(call: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
        def wrapper(*args: t.Any, **options: t.Any) -> t.Any:
            nonlocal count
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **options)

        return wrapper

    for name in CALLS:
        setattr(os, name, counted(getattr(os, name)))
    try:
        work()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
