# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One writer per volume: between processes, between threads, and after a holder was killed."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import pathlib
import signal
import socket
import threading
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.lock import VolumeLock
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import ArchiveError, LockedError


@contextlib.contextmanager
def other_process(work: t.Callable[[], object]) -> t.Iterator[int]:
    """A forked process that has done *work* and then waits until it is killed; gives its pid."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            work()
            os.write(writer, b"done")
            signal.pause()
        finally:
            os._exit(1)
    os.close(writer)
    try:
        with open(reader, "rb") as file:
            assert file.read(4) == b"done"
        yield child
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def is_free_for_others(directory: pathlib.Path) -> bool:
    """Whether another process could take the lock."""
    child = os.fork()
    if not child:
        try:
            with VolumeLock(str(directory)):
                os._exit(0)
        except LockedError:
            os._exit(1)
        finally:
            os._exit(2)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, 1)
    return status == 0


def test_a_free_directory(tmp_path: pathlib.Path) -> None:
    assert is_free_for_others(tmp_path)
    with VolumeLock(str(tmp_path)):
        assert not is_free_for_others(tmp_path)
    assert is_free_for_others(tmp_path)


def test_who_holds_it_is_written_for_people(tmp_path: pathlib.Path) -> None:
    with VolumeLock(str(tmp_path)):
        holder = json.loads((tmp_path / ".lock").read_text())
    assert (holder["host"], holder["pid"]) == (socket.gethostname(), os.getpid())
    assert len(holder["boot_id"]) == 36
    assert holder["since"].endswith("Z")
    assert os.stat(tmp_path / ".lock").st_mode & 0o7777 == 0o600


def test_another_process_is_named(tmp_path: pathlib.Path) -> None:
    lock = VolumeLock(str(tmp_path))
    with other_process(lock.__enter__) as pid:
        with pytest.raises(LockedError, match=f"pid {pid}") as caught, VolumeLock(str(tmp_path)):
            pass
        assert caught.value.details["holder"]["pid"] == pid
        assert caught.value.details["holder"]["host"] == socket.gethostname()


def test_a_killed_holder_holds_nothing(tmp_path: pathlib.Path) -> None:
    with other_process(VolumeLock(str(tmp_path)).__enter__):
        assert not is_free_for_others(tmp_path)
    with VolumeLock(str(tmp_path)):
        assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()


def test_a_longer_text_of_an_earlier_holder_leaves_no_rest(tmp_path: pathlib.Path) -> None:
    (tmp_path / ".lock").write_text("x" * 3000)
    with pytest.raises(LockedError, match="left no name"), VolumeLock(str(tmp_path)):
        pass  # it may be one that is being written just now
    os.utime(tmp_path / ".lock", (0, 0))
    with VolumeLock(str(tmp_path)):
        assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()


def test_a_failed_attempt_in_the_same_process_does_not_drop_the_lock(tmp_path: pathlib.Path) -> None:
    with VolumeLock(str(tmp_path)):
        with pytest.raises(LockedError, match=f"pid {os.getpid()}"), VolumeLock(str(tmp_path)):
            pass
        assert not is_free_for_others(tmp_path)


def test_a_forked_process_holds_nothing_of_its_parents(tmp_path: pathlib.Path) -> None:
    reader, writer = os.pipe()
    with VolumeLock(str(tmp_path)):
        child = os.fork()
        if not child:
            try:
                os.read(reader, 1)  # until the parent has given the lock back
                with VolumeLock(str(tmp_path)):
                    os._exit(0)
            finally:
                os._exit(1)
    os.write(writer, b"x")
    assert os.waitpid(child, 0)[1] == 0
    for descriptor in (reader, writer):
        os.close(descriptor)


def test_another_path_to_the_same_directory_is_the_same(tmp_path: pathlib.Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with VolumeLock(str(tmp_path / "real")):
        with pytest.raises(LockedError), VolumeLock(str(tmp_path / "link")):
            pass
        assert not is_free_for_others(tmp_path / "real")


def test_two_directories_are_two_locks(tmp_path: pathlib.Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with VolumeLock(str(tmp_path / "a")), VolumeLock(str(tmp_path / "b")):
        assert not is_free_for_others(tmp_path / "a")
    assert is_free_for_others(tmp_path / "a")


def test_an_error_inside_gives_it_back(tmp_path: pathlib.Path) -> None:
    with pytest.raises(KeyError), VolumeLock(str(tmp_path)):
        raise KeyError
    assert is_free_for_others(tmp_path)
    with VolumeLock(str(tmp_path)):
        pass


def test_threads_exclude_each_other(tmp_path: pathlib.Path) -> None:
    inside, worst, entered = [0], [0], [0]
    start = threading.Barrier(8)

    def work() -> None:
        start.wait()
        mine = 0
        while mine < 20:
            try:
                with VolumeLock(str(tmp_path)):
                    inside[0] += 1
                    worst[0] = max(worst[0], inside[0])
                    os.listdir(tmp_path)
                    inside[0] -= 1
                    entered[0] += 1
                    mine += 1
            except LockedError:
                pass

    threads = [threading.Thread(target=work) for _number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (worst[0], entered[0]) == (1, 160)


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"junk",
        b"[1]",
        b"\xff",
        b"[" * 100_000,
        b'{"pid": 1}',
        b'{"token": "ab", "pid": "1"}',
        b'{"token": "ab", "seconds": 0}',
        b'{"token": "ab", "x": 1}',
    ],
)
def test_a_holder_that_left_no_name(tmp_path: pathlib.Path, junk: bytes) -> None:
    def hold() -> None:
        descriptor = os.open(tmp_path / ".lock", os.O_RDWR | os.O_CREAT)
        os.write(descriptor, junk)
        fcntl.lockf(descriptor, fcntl.LOCK_EX)

    with other_process(hold):
        with pytest.raises(LockedError, match="left no name"), VolumeLock(str(tmp_path)):
            pass


@pytest.mark.parametrize(
    ("number", "words"), [(errno.ENOLCK, "offers no locks"), (errno.EIO, "storage failed")]
)
def test_a_server_that_does_not_lock_is_named(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    # fault injection: what an NFS 3 mount without a lock daemon answers, and a server that fails
    def fail(*_: t.Any) -> t.NoReturn:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "fcntl", fail)
    with pytest.raises(ArchiveError, match=words), VolumeLock(str(tmp_path)):
        pass
    monkeypatch.undo()
    with VolumeLock(str(tmp_path)):
        pass


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path: pathlib.Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / ".lock").symlink_to("precious")
    with pytest.raises(ArchiveError, match="symbolic link"), VolumeLock(str(tmp_path)):
        pass
    assert (tmp_path / "precious").read_text() == "mine"


def test_a_directory_that_is_not_there(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ArchiveError) as caught, VolumeLock(str(tmp_path / "absent")):
        pass
    assert caught.value.details["kind"] == "missing"


def test_no_descriptor_is_left_behind(tmp_path: pathlib.Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with other_process(VolumeLock(str(tmp_path)).__enter__):
        for _number in range(3):
            with pytest.raises(LockedError), VolumeLock(str(tmp_path)):
                pass
    with VolumeLock(str(tmp_path)):
        pass
    assert len(os.listdir("/proc/self/fd")) == before
