# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check the file system in a raw file that a drill has restored."""

from __future__ import annotations

import shutil
import subprocess
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.environment import Environment, Outcome
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.files import os_errors
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.problems import UNREADABLE
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import BackupError, InvalidInput
from ansible_collections.rbd_backup.gfs.plugins.module_utils._file_system import HEAD, FileSystem, identify

_SAID = 2000  # characters of what a program said that are handed on
_PACKAGES = {"e2fsck": "e2fsprogs", "xfs_repair": "xfsprogs"}
_PLACES = "/usr/sbin:/sbin:/usr/local/sbin"  # not on the PATH of everybody
_DIRTY_LOG = "valuable metadata changes in a log"


def run(environment: Environment) -> Outcome:
    """Carry out the module ``rbd_check_filesystem``. Raises BackupError."""
    path: str = environment.options["path"]
    with os_errors("read", path, UNREADABLE, "Nothing was checked."), open(path, "rb") as file:
        head = file.read(HEAD)
    found = identify(head)
    if environment.check_mode or found is None or found.family is None:
        what = f"it holds {found.name}" if found else "it holds no file system that is known"
        if environment.check_mode:
            what += ", and this is check mode"
        return _outcome(found, None, f"{path} was not checked: {what}.", "")
    check = _check_ext if found.family == "ext" else _check_xfs
    return _outcome(found, *check(path, found.needs_replay))


def _outcome(found: FileSystem | None, clean: bool | None, message: str, said: str) -> Outcome:
    return Outcome(
        changed=clean is not None and found is not None and found.needs_replay,
        values={
            "filesystem": found.name if found else None,
            "checked": clean is not None,
            "clean": clean,
            "message": message,
            "output": said[-_SAID:],
        },
        fatal=message if clean is False else None,
    )


def _check_ext(path: str, needs_replay: bool) -> tuple[bool | None, str, str]:
    """A snapshot of a mounted file system is like a disk after a power cut: first its journal, as a mount does."""
    if needs_replay:
        code, said = _call("e2fsck", "-y", "-E", "journal_only", path)
        if code not in (0, 1):
            message = (
                f"The journal of the file system in {path} cannot be replayed (e2fsck, exit code {code}): "
            )
            return False, message + said[-_SAID:], said
    code, said = _call("e2fsck", "-f", "-n", path)
    if code == 0:
        return True, f"The file system in {path} is sound (e2fsck).", said
    if code & 4:
        return False, f"The file system in {path} is damaged (e2fsck): {said[-_SAID:]}", said
    raise BackupError(f"e2fsck could not check {path} (exit code {code}): {said[-_SAID:]}")


def _check_xfs(path: str, _needs_replay: bool) -> tuple[bool | None, str, str]:
    """xfs_repair cannot replay a log, only a mount can: what it finds beside one is no proof of damage."""
    code, said = _call("xfs_repair", "-n", "-f", path)
    if code == 0:
        return True, f"The file system in {path} is sound (xfs_repair).", said
    if _DIRTY_LOG in said:
        message = (
            f"The file system in {path} could not be judged: its log was not replayed, which only a mount can do. A "
            "volume that was in use when the snapshot was taken is like that."
        )
        return None, message, said
    if code == 1:
        return False, f"The file system in {path} is damaged (xfs_repair): {said[-_SAID:]}", said
    raise BackupError(f"xfs_repair could not check {path} (exit code {code}): {said[-_SAID:]}")


def _call(program: str, *arguments: str) -> tuple[int, str]:
    found = shutil.which(program) or shutil.which(program, path=_PLACES)
    if found is None:
        raise InvalidInput(
            f"{program} is not installed on this host, and without it the file system cannot be checked. Nothing was "
            f"checked. Install the package {_PACKAGES[program]}."
        )
    done: t.Any = subprocess.run(
        [found, *arguments],
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    return done.returncode, done.stdout.decode("utf-8", "replace").strip()
