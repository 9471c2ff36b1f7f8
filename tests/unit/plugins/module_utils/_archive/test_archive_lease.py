# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lease in a lock: when it may be taken over, what the one does that lost it, and readers beside writers.

That hosts do not see each other's locks is simulated: ``without_kernel_locks`` makes every attempt to lock succeed, as
a share does that is mounted with ``local_lock=all``.
"""

from __future__ import annotations

import dataclasses
import errno
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive import lease, lock, publish
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.held import check_held
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.in_use import (
    check_not_read,
    is_in_use,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.lease import (
    Lease,
    lease_of_this_process,
    present_of,
    read_lease,
    write_lease,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.lock import VolumeLock
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.names import archive_name
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.proof import Pin, Proof, save_proof
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.publish import ArchiveWriter
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.readers import ReaderLock
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.rebuild import rebuild_manifest
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.volume_directory import VolumeDirectory
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import LockedError
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Archive
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._archive import (
    archive_samples as samples,
)

HOUR = 3600.0


@pytest.fixture
def without_kernel_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "_set_lock", lambda descriptor, kind: None)


def leave(path: pathlib.Path, content: Lease, age: float = 0) -> None:
    """Put a lease into the file *path*, renewed *age* seconds ago by the clock of the file system."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    write_lease(descriptor, content)
    os.close(descriptor)
    renewed = present_of(str(path.parent)) - age
    os.utime(path, (renewed, renewed))


def takes(directory: pathlib.Path) -> bool:
    try:
        with VolumeLock(str(directory)):
            return True
    except LockedError:
        return False


def here(**changes: t.Any) -> Lease:
    return dataclasses.replace(lease_of_this_process(300), token="ab" * 16, **changes)


def dead_pid() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


LEASES: dict[str, tuple[t.Callable[[], Lease], float, bool]] = {
    "a process that lives": (here, 0, False),
    "a process that is gone": (lambda: here(pid=dead_pid()), 0, True),
    "a later process of that id": (lambda: here(process_started=1), 0, True),
    "another boot of this host": (lambda: here(boot_id="before"), 0, True),
    "given back": (lambda: here(host="other", released=True), 0, True),
    "another host": (lambda: here(host="other", pid=dead_pid()), 0, False),
    "another host of that name": (lambda: here(machine_id="other", boot_id="other"), 0, False),
    "a container of this host": (lambda: here(pid_namespace="pid:[1]", pid=dead_pid()), 0, False),
    "a container of another host": (lambda: here(pid_namespace="pid:[1]", boot_id="other"), 0, False),
    "another host, not yet over": (lambda: here(host="other"), 290, False),
    "another host, over": (lambda: here(host="other"), 301, True),
    "another host with a longer lease": (lambda: here(host="other", seconds=HOUR), 301, False),
    "from the future": (lambda: here(host="other"), -HOUR, False),
    "nobody can tell": (Lease, 290, False),
    "nobody can tell, over": (Lease, 301, True),
}


@pytest.mark.parametrize("case", LEASES)
def test_what_may_be_taken_over(tmp_path: pathlib.Path, case: str) -> None:
    make, age, free = LEASES[case]
    leave(tmp_path / ".lock", make(), age)
    assert is_in_use(str(tmp_path)) is not free
    descriptors = len(os.listdir("/proc/self/fd"))
    assert takes(tmp_path) is free
    assert sorted(os.listdir(tmp_path)) == [".lock"]
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_what_is_said_in_a_lease_is_with_the_file_server_at_once(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = samples.noted_calls(monkeypatch)
    with VolumeLock(str(tmp_path)) as held:
        assert calls == ["fsync .lock"]
        held.check_removal()
        assert calls.count("fsync .lock") == 2
    assert calls.count("fsync .lock") == 3
    with ReaderLock(str(tmp_path)):
        assert calls[-1].startswith("fsync .reading-")


def test_a_host_without_an_id_proves_nothing(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "_MACHINE_ID", str(tmp_path / "absent"))
    leave(tmp_path / ".lock", here(boot_id="before"))
    assert not takes(tmp_path)


def test_a_process_that_is_there_and_hides_when_it_began_is_not_dead(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(tmp_path / ".lock", here(process_started=1))
    text = lease._text

    def hidden(path: str) -> str:
        if (
            path == f"/proc/{os.getpid()}/stat"
        ):  # fault injection: another user's, /proc mounted with hidepid=2
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")
        return text(path)

    with monkeypatch.context() as patch:
        patch.setattr(lease, "_text", hidden)
        assert not takes(tmp_path)
    assert takes(tmp_path), "seen, it is a later process of that id"


def test_this_hosts_clock_decides_nothing_but_for_who_only_looks(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(tmp_path / ".lock", here(host="other"))
    real = time.time()
    monkeypatch.setattr(time, "time", lambda: real + 10 * HOUR)
    assert not takes(tmp_path)
    assert not is_in_use(str(tmp_path))


def test_a_killed_holder_is_taken_over_without_kernel_locks(
    tmp_path: pathlib.Path, without_kernel_locks: None
) -> None:
    child = os.fork()
    if not child:
        VolumeLock(str(tmp_path)).__enter__()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    found = read_lease(str(tmp_path / ".lock"))[0]
    assert found
    assert found.pid == child
    assert takes(tmp_path)


def test_a_lease_is_renewed_while_it_is_held(tmp_path: pathlib.Path) -> None:
    with VolumeLock(str(tmp_path), seconds=0.5):
        os.utime(tmp_path / ".lock", (0, 0))
        deadline = time.monotonic() + 10
        while os.stat(tmp_path / ".lock").st_mtime == 0:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_the_holder_that_was_late_and_not_replaced_renews_and_goes_on(tmp_path: pathlib.Path) -> None:
    with VolumeLock(str(tmp_path)) as held:
        os.utime(tmp_path / ".lock", (0, 0))
        held._renewed -= HOUR
        check_held(str(tmp_path))
        assert os.stat(tmp_path / ".lock").st_mtime > 0


def test_a_lease_that_was_lost_is_not_kept_alive_for_who_has_it_now(tmp_path: pathlib.Path) -> None:
    with VolumeLock(str(tmp_path)) as held:
        leave(tmp_path / ".lock", here(host="other"), age=HOUR)
        renewed = os.stat(tmp_path / ".lock").st_mtime
        held._renew_if_ours()
        assert os.stat(tmp_path / ".lock").st_mtime == renewed


def test_who_tried_in_vain_in_the_same_process_does_not_keep_the_holder_from_looking_after_it(
    tmp_path: pathlib.Path,
) -> None:
    with VolumeLock(str(tmp_path)):
        assert not takes(tmp_path)
        leave(tmp_path / ".lock", here(host="other"))
        with pytest.raises(LockedError, match="was lost"):
            check_held(str(tmp_path))


def test_who_gives_one_directory_back_goes_on_looking_after_another(tmp_path: pathlib.Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with VolumeLock(str(tmp_path / "a")):
        with VolumeLock(str(tmp_path / "b")):
            pass
        leave(tmp_path / "a" / ".lock", here(host="other"))
        with pytest.raises(LockedError, match="was lost"):
            check_held(str(tmp_path / "a"))


def test_a_thread_takes_nothing_over_from_another_of_its_process_however_late_that_is(
    tmp_path: pathlib.Path, without_kernel_locks: None
) -> None:
    with VolumeLock(str(tmp_path)):
        os.utime(tmp_path / ".lock", (0, 0))
        assert not takes(tmp_path)


def test_a_share_that_is_mounted_anew_is_still_held_and_looked_after(tmp_path: pathlib.Path) -> None:
    share = tmp_path / "share"
    share.mkdir()
    with VolumeLock(str(share)):
        share.rename(tmp_path / "gone")  # another directory, with another inode, under the same path
        share.mkdir()
        with pytest.raises(LockedError, match="given back or removed"):
            check_held(str(share))
        shutil.copy(tmp_path / "gone" / ".lock", share)
        check_held(str(share))
        leave(share / ".lock", here(host="other"))
        with pytest.raises(LockedError, match="on host other"):
            check_held(str(share))
    check_held(str(share))


def contents(directory: VolumeDirectory) -> dict[str, bytes]:
    return {entry.name: pathlib.Path(entry.path).read_bytes() for entry in os.scandir(directory.path)}


WORK: dict[str, t.Callable[[VolumeDirectory, Archive], object]] = {
    "publishing": lambda directory, old: samples.publish(directory.path, 2, 1),
    "publishing again": lambda directory, old: samples.publish(directory.path, 1),
    "rebuilding a manifest": lambda directory, old: rebuild_manifest(
        directory, samples.PREFIX, old.file, samples.NOON, "1.0.0"
    ),
    "removing": lambda directory, old: directory.remove_archive(old),
    "removing what is superseded": lambda directory, old: directory.remove_superseded(old),
    "cleaning up": lambda directory, old: directory.clean_temporaries(),
    "describing": lambda directory, old: directory.save(),
    "looking at the lock": lambda directory, old: directory.check_lock(),
    "noting proofs": lambda directory, old: save_proof(
        directory.path, Proof(pins={"a": Pin("a", "", samples.NOON)})
    ),
}


@pytest.mark.parametrize("work", WORK)
def test_who_lost_the_lock_renames_and_removes_nothing(tmp_path: pathlib.Path, work: str) -> None:
    directory = samples.volume_directory(tmp_path)
    old = samples.publish(directory.path, 1)
    for left in (f".tmp-1-{'0' * 16}-x", f"{old.file}.bad-20261124T120000Z"):
        (tmp_path / "volume" / left).write_text("left")
    lock_file = tmp_path / "volume" / ".lock"
    with VolumeLock(directory.path):
        leave(lock_file, here(host="other", since="2026-11-23T17:00:00Z"))
        before = contents(directory)
        with pytest.raises(LockedError, match=r"was lost.*held by pid \d+ on host other since 2026"):
            WORK[work](directory, old)
    assert contents(directory) == before, "nor does it give back what it lost"


def test_who_loses_the_lock_between_archive_and_manifest_publishes_no_manifest(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = samples.volume_directory(tmp_path)
    rename = os.rename

    def rename_and_lose(old: str, new: str) -> None:
        rename(old, new)
        leave(tmp_path / "volume" / ".lock", here(host="other"))

    monkeypatch.setattr(os, "rename", rename_and_lose)
    with VolumeLock(directory.path), pytest.raises(LockedError, match="was lost"):
        samples.publish(directory.path, 1)
    monkeypatch.undo()
    inventory = directory.archives(samples.PREFIX)
    assert inventory.archives == ()
    assert len(inventory.unpublished) == 1


def test_who_loses_the_lock_stops_writing(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "_CHECKED", 0.0)
    directory = samples.volume_directory(tmp_path)
    file = archive_name(samples.snapshot(1), None, "zstd")
    with VolumeLock(directory.path), ArchiveWriter(directory.path, file) as writer:
        writer.write(bytes(2 << 20))
        leave(tmp_path / "volume" / ".lock", here(host="other"))
        with pytest.raises(LockedError, match=r"was lost.*on host other"):
            writer.write(bytes(2 << 20))
    assert list((tmp_path / "volume").glob("*.zst*")) == []


@pytest.mark.parametrize("published_since", [False, True])
def test_a_removal_that_was_begun_is_not_finished_by_who_lost_the_lock(
    tmp_path: pathlib.Path, published_since: bool
) -> None:
    directory = samples.volume_directory(tmp_path)
    old = samples.publish(directory.path, 1)
    (tmp_path / "volume" / f"{old.file}.json").rename(tmp_path / "volume" / f"{old.file}.removing")
    if published_since:
        samples.publish(directory.path, 1)
    with VolumeLock(directory.path):
        (tmp_path / "volume" / ".lock").unlink()
        before = contents(directory)
        with pytest.raises(LockedError, match="removed by somebody else"):
            directory.clean_temporaries()
        assert contents(directory) == before


def test_two_that_take_it_in_the_same_instant_do_not_both_get_it(
    tmp_path: pathlib.Path, without_kernel_locks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = lock.write_lease

    def write_and_be_overwritten(descriptor: int, mine: Lease) -> None:
        write(descriptor, mine)
        leave(tmp_path / ".lock", here(host="other"))

    monkeypatch.setattr(lock, "write_lease", write_and_be_overwritten)
    with pytest.raises(LockedError, match="on host other"), VolumeLock(str(tmp_path)):
        pass


def test_a_reader_keeps_archives_and_lets_others_be_written(tmp_path: pathlib.Path) -> None:
    directory = samples.volume_directory(tmp_path)
    old = samples.publish(directory.path, 1)
    with ReaderLock(directory.path) as reader, ReaderLock(directory.path):
        assert reader.warning is None
        with VolumeLock(directory.path):
            samples.publish(directory.path, 2, 1)
            with pytest.raises(
                LockedError, match=rf"read by pid {os.getpid()} on host .*No archive was removed"
            ) as caught:
                directory.remove_archive(old)
            assert caught.value.details["holder"]["pid"] == os.getpid()
            with pytest.raises(LockedError, match="being read"):
                directory.remove_archive(old)
        assert os.path.exists(directory.path_of(old))
    with VolumeLock(directory.path):
        directory.remove_archive(old)
    assert not os.path.exists(directory.path_of(old))


def test_a_reader_that_is_dead_or_silent_for_long_keeps_nothing(tmp_path: pathlib.Path) -> None:
    directory = samples.volume_directory(tmp_path)
    old = samples.publish(directory.path, 1)
    leave(tmp_path / "volume" / f".reading-{'a' * 32}", here(pid=dead_pid()))
    leave(tmp_path / "volume" / f".reading-{'b' * 32}", here(host="other"), 301)
    before = contents(directory)
    check_not_read(directory.path)
    assert contents(directory) == before, "it looks, and cleans nothing up"
    with VolumeLock(directory.path):
        directory.remove_archive(old)
    assert sorted(os.listdir(directory.path)) == [".lock", "volume.json"]


def test_a_reader_that_ends_while_it_is_looked_for_keeps_nothing(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # fault injection: it was in the listing, and is gone when it is looked at
    listdir = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: [*listdir(path), f".reading-{'a' * 32}"])
    with VolumeLock(str(tmp_path)) as held:
        held.check_removal()


def test_a_reader_on_another_host_and_one_that_just_begins_count(tmp_path: pathlib.Path) -> None:
    directory = samples.volume_directory(tmp_path)
    old = samples.publish(directory.path, 1)
    reader = tmp_path / "volume" / f".reading-{'a' * 32}"
    for begin in (lambda: leave(reader, here(host="other")), lambda: reader.write_bytes(b"")):
        begin()
        before = contents(directory)
        with pytest.raises(LockedError, match="being read"):
            check_not_read(directory.path)
        assert contents(directory) == before
        with VolumeLock(directory.path), pytest.raises(LockedError, match="being read"):
            directory.remove_archive(old)
        assert os.path.exists(directory.path_of(old))
    assert not read_lease(str(tmp_path / "volume" / ".lock"))[0]


def test_a_reader_waits_for_a_removal_that_is_under_way(tmp_path: pathlib.Path) -> None:
    leave(tmp_path / ".lock", here(removing=True))
    with pytest.raises(LockedError, match="being removed by pid"), ReaderLock(str(tmp_path), patience=0):
        pass
    assert os.listdir(tmp_path) == [".lock"]
    leave(tmp_path / ".lock", here(removing=True, pid=dead_pid()))
    with ReaderLock(str(tmp_path), patience=0):
        pass


def test_a_removal_is_announced_until_the_lock_is_given_back(tmp_path: pathlib.Path) -> None:
    directory = samples.volume_directory(tmp_path)
    with VolumeLock(directory.path):
        with ReaderLock(directory.path, patience=0):
            pass
        directory.check_removal()
        with pytest.raises(LockedError), ReaderLock(directory.path, patience=0):
            pass
    with ReaderLock(directory.path, patience=0):
        pass


def test_readers_may_come_again_when_the_last_archive_was_removed(tmp_path: pathlib.Path) -> None:
    directory = samples.volume_directory(tmp_path)
    with VolumeLock(directory.path):
        directory.check_removal()
        directory.end_removal()
        directory.check_lock()
        with ReaderLock(directory.path, patience=0), pytest.raises(LockedError, match="being read"):
            directory.check_removal()


def test_a_reader_that_waits_does_not_stop_the_removal_that_it_waits_for(tmp_path: pathlib.Path) -> None:
    directory = samples.volume_directory(tmp_path)
    archives = [samples.publish(directory.path, day) for day in (1, 2)]
    with VolumeLock(directory.path):
        directory.remove_archive(archives[0])
        leave(tmp_path / "volume" / f".reading-{'a' * 32}", here(host="other"))
        directory.remove_archive(archives[1])
    assert directory.archives(samples.PREFIX).archives == ()


def test_who_lost_the_lock_does_not_let_readers_into_the_removal_of_who_has_it_now(
    tmp_path: pathlib.Path,
) -> None:
    with VolumeLock(str(tmp_path)) as held:
        held.check_removal()
        leave(tmp_path / ".lock", here(host="other", removing=True))
        with pytest.raises(LockedError, match="was lost"):
            held.end_removal()
        with pytest.raises(LockedError, match="being removed"), ReaderLock(str(tmp_path), patience=0):
            pass


@pytest.mark.parametrize("take", [VolumeLock, ReaderLock])
def test_once_it_is_given_back_nothing_renews_it_and_nothing_is_open(
    tmp_path: pathlib.Path, take: t.Callable[[str], t.ContextManager[object]]
) -> None:
    def busy() -> tuple[int, int]:
        return threading.active_count(), len(os.listdir("/proc/self/fd"))

    before = busy()
    with take(str(tmp_path)):
        assert busy() == (before[0] + 1, before[1] + 1)
    assert busy() == before


def test_a_reader_whose_lease_finds_no_room_keeps_nobody_from_removing(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # fault injection: the file can be made, and there is no room for what is in it
    def fail(*_: t.Any) -> t.NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with ReaderLock(str(tmp_path)) as reader:
        assert "No space left" in str(reader.warning)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "why"),
    [(errno.EROFS, "read-only"), (errno.EACCES, "may not write"), (errno.ENOSPC, "No space left")],
)
def test_a_reader_that_cannot_write_reads_without_a_lock_and_says_so(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, number: int, why: str
) -> None:
    real = os.open

    def refuse(path: str, flags: int, *mode: int) -> int:
        if flags & os.O_CREAT:
            raise OSError(number, os.strerror(number))
        return real(path, flags, *mode)

    monkeypatch.setattr(os, "open", refuse)
    with ReaderLock(str(tmp_path)) as reader:
        assert reader.warning
        assert why in reader.warning


def test_a_reader_on_a_system_that_is_no_linux_reads_without_a_lock(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "_BOOT_ID", "/nonexistent")
    with ReaderLock(str(tmp_path)) as reader:
        assert "does not tell which process reads" in str(reader.warning)
        assert list(tmp_path.iterdir()) == []


def test_what_a_reader_writes_is_its_owners_alone(tmp_path: pathlib.Path) -> None:
    with ReaderLock(str(tmp_path)):
        (file,) = tmp_path.iterdir()
        assert file.stat().st_mode & 0o7777 == 0o600


def test_a_reader_is_renewed(tmp_path: pathlib.Path) -> None:
    with ReaderLock(str(tmp_path), seconds=0.5):
        (file,) = tmp_path.iterdir()
        os.utime(file, (0, 0))
        deadline = time.monotonic() + 10
        while file.stat().st_mtime == 0:
            assert time.monotonic() < deadline
            time.sleep(0.01)
