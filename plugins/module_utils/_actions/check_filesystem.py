# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check the file system in a raw file that a drill has restored.

A snapshot of a mounted file system is like a disk after a power cut, and is judged as its next mount would find it:
first what was under way is finished, in the copy, and then the check only reads.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.environment import Environment, Outcome
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.files import os_errors
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.problems import UNREADABLE
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import BackupError, InvalidInput
from ansible_collections.rbd_backup.gfs.plugins.module_utils._file_system import HEAD, FileSystem, identify

_SAID = 2000  # characters of what a program said that are handed on
_PACKAGES = {"e2fsck": "e2fsprogs", "xfs_repair": "xfsprogs", "unshare": "util-linux"}
_PLACES = "/usr/sbin:/sbin:/usr/local/sbin"  # not on the PATH of everybody
_LOG_NOT_REPLAYED = "valuable metadata changes in a log"
_REFUSED_BY_XFS = ("Structure needs cleaning", "Bad message")  # EFSCORRUPTED, EFSBADCRC
# nouuid: the volume itself may be mounted on this host
_MOUNT = 'mount -t xfs -o loop,nouuid,nodev,nosuid,noexec "$1" "$2" && umount "$2"'


@dataclasses.dataclass(frozen=True)
class _Judged:
    """What a check found; ``finished``: what was under way in the file system was finished first."""

    clean: bool | None
    message: str
    said: str = ""
    finished: bool = False


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
        judged = _Judged(None, f"{path} was not checked: {what}.")
    elif found.family == "ext":
        judged = _check_ext(path, found)
    else:
        judged = _check_xfs(path, environment.options["mount"])
    return Outcome(
        changed=judged.finished,
        values={
            "filesystem": found.name if found else None,
            "checked": judged.clean is not None,
            "clean": judged.clean,
            "finished": judged.finished,
            "message": judged.message,
            "output": judged.said[-_SAID:],
        },
        warnings=[judged.message] if judged.clean is None and not environment.check_mode else [],
        fatal=judged.message if judged.clean is False else None,
    )


def _check_ext(path: str, found: FileSystem) -> _Judged:
    """What a node does before it mounts, and then the check."""
    tidied = ""
    if found.in_use:
        code, tidied = _call("e2fsck", "-p", path)
        if code & 4:
            message = f"The file system in {path} cannot be mounted as it is (e2fsck -p): {tidied[-_SAID:]}"
            return _Judged(False, message, tidied, True)
        if code > 3:
            raise _unable("e2fsck", path, code, tidied)
    code, said = _call("e2fsck", "-f", "-n", path)
    if code == 0:
        message = f"The file system in {path} is sound (e2fsck)."
        return _Judged(True, message, f"{tidied}\n{said}".strip(), found.in_use)
    if code & 4:
        message = f"The file system in {path} is damaged (e2fsck): {said[-_SAID:]}"
        return _Judged(False, message, said, found.in_use)
    raise _unable("e2fsck", path, code, said)


def _check_xfs(path: str, mount: bool) -> _Judged:
    """xfs_repair cannot replay a log, only a mount can, and what it finds beside one is no proof of damage."""
    code, said = _call("xfs_repair", "-n", "-f", path)
    finished = False
    if _LOG_NOT_REPLAYED in said:
        if not mount:
            message = (
                f"The file system in {path} was not judged: its log was not replayed, which only a mount can do, and "
                "the option mount is false. A volume that was in use when the snapshot was taken is like that."
            )
            return _Judged(None, message, said)
        refusal = _replay_xfs(path)
        if refusal:
            message = f"The file system in {path} is damaged: its log cannot be replayed (mount): {refusal}"
            return _Judged(False, message, refusal, True)
        finished = True
        code, said = _call("xfs_repair", "-n", "-f", path)
    if code == 0:
        return _Judged(True, f"The file system in {path} is sound (xfs_repair).", said, finished)
    if code == 1:
        message = f"The file system in {path} is damaged (xfs_repair): {said[-_SAID:]}"
        return _Judged(False, message, said, finished)
    raise _unable("xfs_repair", path, code, said)


def _replay_xfs(path: str) -> str:
    """Have the kernel replay the log; return why XFS refuses to. Raises BackupError where no mount is possible here.

    The mount has a namespace of its own and goes with it, whatever happens to us; there it may hide the directory.
    """
    real = os.path.realpath(path)
    code, said = _call(
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        _MOUNT,
        "sh",
        real,
        os.path.dirname(real),
    )
    if code == 0:
        return ""
    if any(word in said for word in _REFUSED_BY_XFS):
        return said[-_SAID:]
    raise BackupError(
        f"The file system in {path} could not be judged. It was in use when the snapshot was taken, and its log "
        f"must be replayed by a mount, which is not possible here: {said[-_SAID:]} That takes root, a loop device and "
        "a kernel that knows this XFS. Run the drill where there are these, or set mount to false (in the role "
        "rbd_drill: rbd_drill_mount) to have such volumes reported as not checked."
    )


def _unable(program: str, path: str, code: int, said: str) -> BackupError:
    return BackupError(f"{program} could not check {path} (exit code {code}): {said[-_SAID:]}")


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
        env={**os.environ, "LC_ALL": "C"},
    )
    return done.returncode, done.stdout.decode("utf-8", "replace").strip()
