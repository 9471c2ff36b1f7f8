# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directory of a drill: made beside a note of whose it is, so that the next drill knows what a dead one left."""

from __future__ import annotations

import os
import re
import shutil

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.environment import Environment, Outcome
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.files import open_reading, os_errors
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.lease import (
    is_dead,
    lease_of_process,
    read_open_lease,
    write_lease,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.problems import UNWRITABLE
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import ArchiveError

_NOTE = re.compile(r"(rbd-drill-[0-9a-f]{32})\.maker")
_DIRECTORY = re.compile(r"rbd-drill-[0-9a-z_]+")


def run(environment: Environment) -> Outcome:
    """Carry out the module ``rbd_drill_directory``. Raises BackupError."""
    scratch = os.path.realpath(environment.options["scratch"])
    removed: list[str] = []
    warnings: list[str] = []
    with os_errors("use", scratch, UNWRITABLE, "Nothing was restored."):
        for name in sorted(filter(None, map(_noted, os.listdir(scratch)))):
            if _is_dead(_note(scratch, name)):
                refusal = _remove(scratch, name, environment.check_mode)
                (warnings if refusal else removed).append(refusal or os.path.join(scratch, name))
        made = [] if environment.check_mode else _make(scratch, environment.options["maker"])
        warnings += _unknown(scratch, [*made, *removed])
    return Outcome(
        changed=True,  # a directory is made, or would be
        values={"path": made[0] if made else None, "made": made, "removed": removed},
        warnings=warnings,
        diff={"before": "".join(f"{path}\n" for path in removed), "after": "".join(f"{p}\n" for p in made)},
    )


def _noted(file: str) -> str | None:
    match = _NOTE.fullmatch(file)
    return match[1] if match else None


def _note(scratch: str, name: str) -> str:
    return os.path.join(scratch, f"{name}.maker")


def _make(scratch: str, maker: int) -> list[str]:
    """Make the note and then the directory, and return both, the directory first. Raises OSError."""
    lease = lease_of_process(maker if _is_ansible(maker) else 0)
    path = os.path.join(scratch, f"rbd-drill-{lease.token}")
    if not lease.pid:
        os.mkdir(path, 0o700)  # nobody will be able to tell whether its maker is dead
        return [path]
    note = _note(scratch, os.path.basename(path))
    descriptor = os.open(note, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        write_lease(descriptor, lease)
    finally:
        os.close(descriptor)
    os.mkdir(path, 0o700)
    return [path, note]


def _is_ansible(pid: int) -> bool:
    """Whether that process may be what runs the playbook: a wrong one could be dead while the drill goes on."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return b"ansible" in file.read()
    except OSError:
        return False


def _is_dead(note: str) -> bool:
    """Whether this user has written *note* for that very directory, and the drill is dead. In a scratch directory that
    others write to as well, a note may be theirs, or be forged to have the directory of a living drill removed."""
    try:
        descriptor = open_reading(note)
    except ArchiveError:
        return False  # that drill has just ended, or is another user's
    try:
        lease, _renewed = read_open_lease(descriptor)
        mine = os.fstat(descriptor).st_uid == os.geteuid()
    finally:
        os.close(descriptor)
    return mine and lease is not None and note.endswith(f"-{lease.token}.maker") and is_dead(lease)


def _remove(scratch: str, name: str, check_mode: bool) -> str | None:
    """Remove what a dead drill left; return why not."""
    path = os.path.join(scratch, name)
    mounted = [place for place in _mounts() if place == path or place.startswith(f"{path}/")]
    if mounted:
        return (
            f"{path} is what a drill that was killed has left. It was left untouched, because something is mounted at "
            f"{', '.join(mounted)}: unmount it (umount), and the next drill removes the rest."
        )
    if check_mode:
        return None
    try:
        if os.path.lexists(path):
            shutil.rmtree(path)
        os.unlink(_note(scratch, name))
    except OSError as error:
        return f"{path} is what a drill that was killed has left, and cannot be removed: {error}."
    return None


def _mounts() -> list[str]:
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        # blanks and the like in a path are written as octal numbers
        return [
            re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), line.split()[4]) for line in file
        ]


def _unknown(scratch: str, known: list[str]) -> list[str]:
    """Warn of directories of which nobody can say whose they are."""
    paths = [
        os.path.join(scratch, name) for name in sorted(os.listdir(scratch)) if _DIRECTORY.fullmatch(name)
    ]
    found = [path for path in paths if path not in known and not os.path.lexists(f"{path}.maker")]
    return [
        f"{path} looks like what a drill has left, and it is not on record which one. It was left untouched: remove it "
        "where no drill is running."
        for path in found
    ]
