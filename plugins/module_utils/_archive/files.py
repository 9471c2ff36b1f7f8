# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading and writing so that a crash leaves the old or the new file, and nobody else can look in."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import stat
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.held import check_held
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.names import (
    temporary_name,
    unfinished_name,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.problems import (
    DAMAGED,
    MISSING,
    REFUSED,
    UNREADABLE,
    UNWRITABLE,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import ArchiveError

_JSON_LIMIT = 64 * 1024 * 1024
_CHECKSUM = "checksum"
_ADVICE = {
    errno.ENOSPC: "Make room there and run again.",
    errno.EDQUOT: "Raise the quota or make room there and run again.",
    errno.EROFS: "The file system is read-only: find out why, mount it writable and run again.",
    errno.EACCES: "Give the user who runs the backup access and run again.",
    errno.EPERM: "Give the user who runs the backup access and run again.",
    errno.EIO: "The storage failed: look at the system log of this host and at the file server.",
    errno.ESTALE: "The file server no longer knows the file: mount the share again.",
    errno.ELOOP: "It is a symbolic link: put the real file or a mount point in its place.",
}


@contextlib.contextmanager
def os_errors(doing: str, path: str, kind: str, untouched: str) -> t.Iterator[None]:
    """Turn an OSError into an ArchiveError: "Cannot <doing> <path>: <reason>. <untouched> <advice>"."""
    try:
        yield
    except OSError as error:
        words = [f"Cannot {doing} {path}: {error.strerror}.", untouched, _ADVICE.get(error.errno or 0, "")]
        raise ArchiveError(
            " ".join(word for word in words if word),
            kind=MISSING if kind == UNREADABLE and error.errno == errno.ENOENT else kind,
            path=path,
            errno=errno.errorcode.get(error.errno or 0),
        ) from error


def open_reading(path: str) -> int:
    """Open a regular file for reading, never through a symbolic link. Raises ArchiveError (MISSING, UNREADABLE)."""
    with os_errors("read", path, UNREADABLE, "Nothing was changed."):
        # O_NONBLOCK: a FIFO in place of a file must not stop the run for ever
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
    os.close(descriptor)
    raise not_regular(path)


def not_regular(path: str) -> ArchiveError:
    """The error that something else than a file stands at *path*: nobody can say what it leads to."""
    return ArchiveError(
        f"{path} is not a regular file. Nothing was changed. Put the real file in its place, or move it "
        "away.",
        kind=REFUSED,
        path=path,
    )


def open_temporary(path: str) -> tuple[int, str]:
    """Create the temporary under which *path* will be written: mode 0600 whatever the umask. Raises OSError."""
    folder, file = os.path.split(path)
    temporary = os.path.join(folder, temporary_name(file, os.getpid(), secrets.token_hex(8)))
    descriptor = os.open(
        temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
    )
    try:
        os.fchmod(descriptor, 0o600)
    except BaseException:
        os.close(descriptor)
        remove_if_there(temporary)
        raise
    return descriptor, temporary


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte of *data*. Raises OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_directory(path: str) -> None:
    """Make the names in the directory *path* durable. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: str) -> bool:
    """Create the directory *path* with mode 0700 and return True, or return False when it is there already.

    Raises ArchiveError (UNWRITABLE).
    """
    with os_errors("create the directory", path, UNWRITABLE, "Nothing else was changed."):
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                raise
            return False
        os.chmod(path, 0o700)
        sync_directory(os.path.dirname(path))
        return True


def make_directory_with(path: str, make_content: t.Callable[[str], object]) -> None:
    """Create the directory *path*, unless it is there, in such a way that it is never empty, whenever we are killed.

    It is made under :func:`names.unfinished_name`, *make_content* is called with that path, and then it gets its name.
    What a kill leaves, the next call for *path* takes up. Raises ArchiveError (UNWRITABLE).
    """
    if os.path.lexists(path):
        make_directory(path)  # refuses what is none
        return
    parent, name = os.path.split(path)
    unfinished = os.path.join(parent, unfinished_name(name))
    try:
        make_directory(unfinished)
        with os_errors("create the directory", path, UNWRITABLE, "Nothing else was changed."):
            make_content(unfinished)
            sync_directory(unfinished)
            os.rename(unfinished, path)
    except ArchiveError:
        if not os.path.isdir(path):  # else another host has just made it
            raise
    with os_errors("create the directory", path, UNWRITABLE, "Nothing else was changed."):
        sync_directory(parent)


def remove_if_there(path: str) -> bool:
    """Remove the file *path*; return whether it was there. Raises OSError."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True


def remove_files(directory: str, wanted: t.Callable[[str], bool]) -> tuple[str, ...]:
    """Remove the files of *directory* whose names are *wanted*, and return the names.

    Raises ArchiveError; LockedError when the lock of the directory was lost.
    """
    with os_errors("list", directory, UNREADABLE, "Nothing was changed."):
        removed = tuple(file for file in sorted(os.listdir(directory)) if wanted(file))
    if removed:
        with os_errors("remove files in", directory, UNWRITABLE, "The next run tries again."):
            for file in removed:
                check_held(directory)
                remove_if_there(os.path.join(directory, file))
            sync_directory(directory)
    return removed


def write_json_temporary(path: str, content: t.Mapping[str, t.Any]) -> str:
    """Write what is to become the JSON file *path* to a durable temporary beside it and return its path.

    A ``checksum`` is added, so that :func:`read_json` notices a flipped bit. Raises OSError.
    """
    plain = json.loads(json.dumps(content, allow_nan=False))
    text = json.dumps({**plain, _CHECKSUM: checksum(plain)}, indent=2) + "\n"
    descriptor, temporary = open_temporary(path)
    try:
        try:
            write_all(descriptor, text.encode("ascii"))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except BaseException:
        remove_if_there(temporary)
        raise
    return temporary


def atomic_write_json(path: str, content: t.Mapping[str, t.Any], untouched: str) -> None:
    """Put *content* in place of the JSON file *path*, mode 0600: after a crash the old or the new one is there.

    *untouched* tells the reader of an error what was left as it was. Raises ArchiveError (UNWRITABLE); LockedError when
    the lock of its directory was lost.
    """
    with os_errors("write", path, UNWRITABLE, untouched):
        temporary = write_json_temporary(path, content)
        try:
            check_held(os.path.dirname(path))
            os.rename(temporary, path)
        except BaseException:
            remove_if_there(temporary)
            raise
        sync_directory(os.path.dirname(path))


def read_json(path: str) -> dict[str, t.Any]:
    """Read what :func:`atomic_write_json` wrote, without the checksum.

    Raises ArchiveError: MISSING, UNREADABLE, or DAMAGED where the file was read and is not what was written.
    """
    descriptor = open_reading(path)
    with os_errors("read", path, UNREADABLE, "Nothing was changed."), open(descriptor, "rb") as file:
        raw = file.read(_JSON_LIMIT + 1)
    try:
        content = json.loads(raw.decode("ascii")) if len(raw) <= _JSON_LIMIT else None
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise ArchiveError(f"{path} is damaged: it is not a JSON object of ours.", kind=DAMAGED, path=path)
    if content.pop(_CHECKSUM, None) != checksum(content):
        raise ArchiveError(
            f"{path} is damaged or was edited: its content does not agree with its checksum. Nothing was "
            "changed.",
            kind=DAMAGED,
            path=path,
        )
    return content


def checksum(content: t.Mapping[str, t.Any]) -> str:
    """SHA-256 of *content* as JSON in its canonical form: ASCII, sorted keys, no blanks."""
    return hashlib.sha256(
        json.dumps(content, sort_keys=True, separators=(",", ":")).encode("ascii")
    ).hexdigest()
