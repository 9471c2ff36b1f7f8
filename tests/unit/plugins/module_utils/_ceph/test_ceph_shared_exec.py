# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands that share a far side, which runs here instead of in a pod: a real connection cannot be made to die between
two commands, or between a command and its answer."""

from __future__ import annotations

import concurrent.futures
import pathlib
import select
import subprocess
import sys
import threading
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph import pod as under_test
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import CephError, KubernetesError
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.exec import (
    STDERR,
    STDOUT,
    ExecStatus,
    Frame,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.pods import PodRef


class Connection:
    """What an ExecStream offers, over pipes. ``loses``: the answer never comes."""

    def __init__(self, argv: t.Sequence[str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *argv[1:]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.status: ExecStatus | None = None
        self.loses = False

    def send(self, data: bytes) -> None:
        stdin = t.cast(t.IO[bytes], self.process.stdin)
        stdin.write(data)
        stdin.flush()

    def wait_at_most(self, seconds: float) -> None:
        pass

    def read_frame(self) -> Frame | None:
        channels = {self.process.stdout: STDOUT, self.process.stderr: STDERR}
        while channels:
            for pipe in select.select(list(channels), [], [], 60)[0]:
                data = pipe.read1()
                if self.loses:
                    raise KubernetesError("The connection was lost.", kind="lost")
                if data:
                    return channels[pipe], data
                del channels[pipe]
        self.status = ExecStatus(self.process.wait() == 0, self.process.returncode, "")
        return None

    def is_quiet(self) -> bool:
        return not select.select([self.process.stdout, self.process.stderr], [], [], 0)[0]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            t.cast(t.IO[bytes], pipe).close()

    @property
    def is_closed(self) -> bool:
        return t.cast(t.IO[bytes], self.process.stdin).closed


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> t.Iterator[list[Connection]]:
    connections: list[Connection] = []

    def open_exec(
        _cluster: object,
        _namespace: str,
        _pod: str,
        _container: str,
        argv: t.Sequence[str],
        **_options: t.Any,
    ) -> Connection:
        connections.append(Connection(argv))
        return connections[-1]

    monkeypatch.setattr(under_test, "open_exec", open_exec)
    monkeypatch.setattr(under_test, "find_pod", lambda *_where: PodRef("tools", ("main",), "uid"))
    yield connections
    for connection in connections:
        if not connection.is_closed:
            connection.close()


@pytest.fixture
def runner(opened: list[Connection]) -> under_test.PodRunner:
    return under_test.PodRunner(lambda: t.cast(t.Any, None), "rook-ceph", "app=tools")


def say(runner: under_test.PodRunner, text: str) -> str:
    return runner.run(["printf", "%s", text], 60).stdout.decode()


def test_commands_share_a_far_side_until_the_end(
    runner: under_test.PodRunner, opened: list[Connection]
) -> None:
    assert [say(runner, text) for text in ("first", "", "third")] == ["first", "", "third"]
    assert runner.run(["false"], 60).rc == 1
    assert say(runner, "after it failed") == "after it failed"
    assert len(opened) == 1
    runner.close()
    assert opened[0].is_closed


def test_commands_of_the_same_time_have_a_far_side_each(
    runner: under_test.PodRunner, opened: list[Connection]
) -> None:
    together = threading.Barrier(2)

    def work(name: str) -> list[str]:
        together.wait(20)
        return [say(runner, f"{name} {number}") for number in range(20)]

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        assert list(pool.map(work, "ab")) == [[f"{name} {number}" for number in range(20)] for name in "ab"]
    assert len(opened) <= 2


def test_one_that_was_killed_while_nothing_was_asked_is_replaced(
    runner: under_test.PodRunner, opened: list[Connection], tmp_path: pathlib.Path
) -> None:
    say(runner, "first")
    opened[0].process.kill()
    opened[0].process.wait()
    assert runner.run(["sh", "-c", 'echo x >>"$1"', "sh", str(tmp_path / "done")], 60).rc == 0
    assert (tmp_path / "done").read_text() == "x\n"
    assert opened[0].is_closed
    assert len(opened) == 2


def test_one_that_may_be_forgotten_on_the_way_is_replaced(
    runner: under_test.PodRunner, opened: list[Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(under_test, "_FRESH", 0.0)
    assert [say(runner, text) for text in "ab"] == ["a", "b"]
    assert [connection.is_closed for connection in opened] == [True, False]


def test_what_is_left_of_a_command_is_not_taken_for_the_next_ones_answer(
    runner: under_test.PodRunner, opened: list[Connection]
) -> None:
    """No far side does that; a proxy that doubles what it carries would."""
    say(runner, "first")
    real = opened[0].is_quiet
    opened[0].process.stdout = subprocess.Popen(["echo", "stray"], stdout=subprocess.PIPE).stdout
    while real():
        pass
    assert say(runner, "second") == "second"
    assert len(opened) == 2


def test_a_command_whose_answer_is_lost_is_not_run_again(
    runner: under_test.PodRunner, opened: list[Connection], tmp_path: pathlib.Path
) -> None:
    say(runner, "first")
    opened[0].loses = True
    with pytest.raises(CephError, match="lost"):
        runner.run(["sh", "-c", 'echo x >>"$1"', "sh", str(tmp_path / "done")], 60)
    assert (tmp_path / "done").read_text() == "x\n"
    assert opened[0].is_closed
    assert say(runner, "after it") == "after it"
    assert len(opened) == 2


def test_after_a_command_that_did_not_end_in_time_comes_another_far_side(
    runner: under_test.PodRunner, opened: list[Connection]
) -> None:
    say(runner, "first")
    with pytest.raises(CephError, match="did not end within"):
        runner.run(["sleep", "600"], 0.2)
    assert opened[0].is_closed
    assert say(runner, "after it") == "after it"
    assert len(opened) == 2
