# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Leases: who works in a volume's directory, in a file that every host reads alike.

A lease is over when its process is provably dead, or when it was not renewed for as long as it says. Renewed means:
the file's modification time was set by the file server, and the present is the modification time of another file on
that share. No host's own clock decides, so that hosts whose clocks differ agree. Only who looks without writing, as a
preview does, goes by its own.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import os
import secrets
import socket
import threading
import time
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.files import (
    open_temporary,
    os_errors,
    remove_if_there,
    write_all,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.problems import UNREADABLE
from ansible_collections.rbd_backup.gfs.plugins.module_utils._names import format_utc

LEASE_SECONDS = 300
"""For how long a lease is good without being renewed. It is renewed five times as often."""

_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_MACHINE_ID = "/etc/machine-id"
_HIDDEN = -1
# of one size for ever, so that rewriting a lease never shows half of it
_SIZE = 1024


@dataclasses.dataclass(frozen=True)
class Lease:
    """Who holds a directory, and for how long without renewal (``seconds``).

    ``process_started`` is in clock ticks since the host's boot: with it a process is told from a later one of the
    same id. ``removing``: archives are being removed. ``released``: given back.
    """

    host: str = ""
    machine_id: str = ""
    boot_id: str = ""
    pid_namespace: str = ""
    pid: int = 0
    process_started: int = 0
    token: str = ""
    since: str = ""
    seconds: float = LEASE_SECONDS
    removing: bool = False
    released: bool = False

    def __str__(self) -> str:
        if not self.token:
            return "one that left no name"
        return f"pid {self.pid} on host {self.host} since {self.since}"

    def to_dict(self) -> dict[str, t.Any]:
        """The holder, for the details of an error."""
        return {"host": self.host, "pid": self.pid, "since": self.since} if self.token else {}


def lease_of_this_process(seconds: float) -> Lease:
    """A new lease, with a token that no other has. Raises ArchiveError."""
    return lease_of_process(os.getpid(), seconds)


def lease_of_process(pid: int, seconds: float = LEASE_SECONDS) -> Lease:
    """The same for another process of this host and container; none where *pid* is 0. Raises ArchiveError."""
    with os_errors("read", _BOOT_ID, UNREADABLE, "Nothing was changed."):
        return Lease(
            host=socket.gethostname(),
            machine_id=_text_or_nothing(_MACHINE_ID),
            boot_id=_text(_BOOT_ID),
            pid_namespace=os.readlink("/proc/self/ns/pid"),
            pid=pid,
            process_started=(_process_started(pid) if pid else None) or 0,
            token=secrets.token_hex(16),
            since=format_utc(dt.datetime.now(dt.timezone.utc)),
            seconds=seconds,
        )


def write_lease(descriptor: int, lease: Lease) -> None:
    """Make *lease* the content of an open file, so that other hosts see it. Raises OSError."""
    text = json.dumps(dataclasses.asdict(lease))
    os.lseek(descriptor, 0, os.SEEK_SET)
    write_all(descriptor, text.ljust(_SIZE - 1).encode("ascii") + b"\n")
    os.ftruncate(descriptor, _SIZE)
    renew(descriptor)
    os.fsync(descriptor)


def renew(descriptor: int) -> None:
    """Let the file server set the file's modification time to its present. Raises OSError."""
    os.utime(descriptor)


def read_lease(path: str) -> tuple[Lease | None, float]:
    """The lease in the file *path*, None where it is free, and when it was renewed. Raises OSError.

    Opening the file anew makes an NFS client ask the server. What cannot be read as a lease may be one that is being
    written: it is one of an unknown holder, and good until it is old.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return read_open_lease(descriptor)
    finally:
        os.close(descriptor)


def read_open_lease(descriptor: int) -> tuple[Lease | None, float]:
    """The same from a file that is open, and was opened just now."""
    content = os.pread(descriptor, _SIZE, 0)
    lease = _parse(content) if content.strip() else None
    return (None if lease and lease.released else lease), os.fstat(descriptor).st_mtime


def is_over(lease: Lease, renewed: float, directory: str) -> bool:
    """Whether nobody holds *lease* any more, which was *renewed* in *directory*, by the clock there. Raises OSError."""
    return is_dead(lease) or present_of(directory) - renewed > lease.seconds


def seems_over(lease: Lease, renewed: float) -> bool:
    """The same for who may write nothing, and so must go by this host's clock."""
    return is_dead(lease) or time.time() - renewed > lease.seconds


def present_of(directory: str) -> float:
    """What time it is for the file server of *directory*, seconds. Raises OSError."""
    descriptor, path = open_temporary(os.path.join(directory, "clock"))
    try:
        renew(descriptor)
        return os.fstat(descriptor).st_mtime
    finally:
        os.close(descriptor)
        remove_if_there(path)


class Renewal:
    """Calls *renew_lease* in the background, five times in *seconds*, until ``stop()``."""

    def __init__(self, renew_lease: t.Callable[[], None], seconds: float) -> None:
        self._renew_lease = renew_lease
        self._interval = seconds / 5
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Return when no renewal is under way and none follows."""
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(self._interval):
            try:
                self._renew_lease()
            except OSError:
                pass  # the storage may come back before the lease is over; who works there checks the token


def is_dead(lease: Lease) -> bool:
    """Whether the holder's process is provably gone: it ran on this host, and either before the last boot or not now.

    Containers of one host see each other's files and not each other's processes: they prove nothing.
    """
    me = lease_of_this_process(lease.seconds)
    here = (me.host, me.machine_id, me.pid_namespace)
    if not me.machine_id or (lease.host, lease.machine_id, lease.pid_namespace) != here:
        return False
    return lease.boot_id != me.boot_id or _process_started(lease.pid) not in (lease.process_started, _HIDDEN)


def _process_started(pid: int) -> int | None:
    """When process *pid* was started, in ticks; None when there is none, _HIDDEN when that cannot be told."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:
        pass  # it is another user's
    try:
        fields = _text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    except OSError:
        return _HIDDEN  # another user's, where /proc is mounted with hidepid
    return None if fields[0] in "ZX" else int(fields[19])


def _parse(content: bytes) -> Lease:
    try:
        found = json.loads(content.decode("ascii"))
        lease = Lease(**found)
        types = {field.name: type(field.default) for field in dataclasses.fields(Lease)}
        well_formed = all(isinstance(value, types[name]) for name, value in {**found, "seconds": 0}.items())
        return lease if well_formed and lease.token and lease.seconds > 0 else Lease()
    except (ValueError, TypeError, RecursionError):
        return Lease()


def _text(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read().strip()


def _text_or_nothing(path: str) -> str:
    try:
        return _text(path)
    except OSError:
        return ""
