# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exec: an end is an end only when its status has been read; everything else is a lost connection."""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
import typing as t
from urllib.parse import parse_qsl, urlsplit

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import KubernetesError
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes import exec as under_test
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.client import connect
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.exec import (
    ExecStatus,
    ExecStream,
    open_exec,
)
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._kubernetes.scripted_websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    FIN,
    PING,
    PONG,
    Connection,
    failure,
    serving,
)

TOKEN = "kept-to-ourselves-0815"
Script = t.Callable[[Connection], None]


@contextlib.contextmanager
def running(script: Script, stdin: bool = False, read_timeout: float = 10.0) -> t.Iterator[ExecStream]:
    with serving(script) as url:
        cluster = connect({"host": url, "api_key": TOKEN})
        with open_exec(
            cluster, "rook-ceph", "tools-1", "tools", ["rbd", "a b"], stdin, read_timeout
        ) as stream:
            yield stream


def read_all(stream: ExecStream) -> list[tuple[int, bytes]]:
    frames = []
    while (frame := stream.read_frame()) is not None:
        frames.append(frame)
    return frames


def test_the_request_asks_for_the_command_with_the_token() -> None:
    requests = []

    def script(connection: Connection) -> None:
        requests.append(connection.request)
        connection.end()

    with running(script, stdin=True) as stream:
        read_all(stream)
    path = urlsplit(requests[0].split(" ")[1])
    assert path.path == "/api/v1/namespaces/rook-ceph/pods/tools-1/exec"
    assert parse_qsl(path.query) == [
        ("container", "tools"),
        ("stdin", "true"),
        ("stdout", "true"),
        ("stderr", "true"),
        ("tty", "false"),
        ("command", "rbd"),
        ("command", "a b"),
    ]
    assert f"Authorization: Bearer {TOKEN}" in requests[0]
    assert "v4.channel.k8s.io" in requests[0]


def test_frames_come_as_they_are_and_then_the_status() -> None:
    def script(connection: Connection) -> None:
        connection.say(1, b"")
        connection.say(1, b"out\x00\xff")
        connection.say(2, b"warning")
        connection.say(1, b"x" * 100_000)
        connection.end()

    with running(script) as stream:
        assert read_all(stream) == [(1, b"out\x00\xff"), (2, b"warning"), (1, b"x" * 100_000)]
        assert stream.status == ExecStatus(True, 0, "")
        assert stream.read_frame() is None


def test_the_exit_code_is_that_of_the_command() -> None:
    with running(lambda connection: connection.end(failure(3))) as stream:
        assert read_all(stream) == []
    assert stream.status is not None
    assert (stream.status.success, stream.status.exit_code) == (False, 3)
    assert "exit code 3" in stream.status.message


def test_a_command_that_could_not_be_started_has_no_exit_code() -> None:
    status = {"status": "Failure", "message": "no such file", "reason": "InternalError", "code": 500}
    with running(lambda connection: connection.end(status)) as stream:
        read_all(stream)
    assert stream.status == ExecStatus(False, None, "no such file")


def test_a_message_in_parts_is_one_frame_even_with_a_ping_between() -> None:
    pongs: list[tuple[int, bytes]] = []

    def script(connection: Connection) -> None:
        connection.frame(BINARY, b"\x01ab")
        connection.frame(FIN | PING, b"there?")
        connection.frame(CONTINUATION, b"cd")
        connection.frame(FIN | CONTINUATION, b"ef")
        pongs.append(connection.read_frame())
        connection.end()

    with running(script) as stream:
        assert read_all(stream) == [(1, b"abcdef")]
    assert pongs == [(PONG, b"there?")]


def lose(connection: Connection) -> None:
    pass


def close(connection: Connection) -> None:
    connection.frame(FIN | CLOSE, b"\x03\xe8")


def stop_half_way(connection: Connection) -> None:
    connection._end.sendall(bytes((FIN | BINARY, 100)) + b"\x01half")


def status_that_is_none(connection: Connection) -> None:
    connection.say(3, b"Success")


def status_without_a_verdict(connection: Connection) -> None:
    connection.say(3, b"{}")


@pytest.mark.parametrize(
    "ending", [lose, close, stop_half_way, status_that_is_none, status_without_a_verdict]
)
def test_an_end_without_a_status_is_a_lost_connection(ending: Script) -> None:
    def script(connection: Connection) -> None:
        connection.say(1, b"data")
        ending(connection)

    with running(script) as stream:
        assert stream.read_frame() == (1, b"data")
        for _again in range(2):
            with pytest.raises(KubernetesError, match=r"rbd in pod rook-ceph/tools-1 .*was lost") as caught:
                stream.read_frame()
            assert caught.value.details["kind"] == "lost"
    assert stream.status is None


def test_a_closed_stream_has_no_end() -> None:
    over = threading.Event()
    with running(lambda _connection: t.cast(None, over.wait(30))) as stream:
        stream.close()
        with pytest.raises(KubernetesError, match="was lost"):
            stream.read_frame()
        over.set()


def test_a_connection_that_ends_after_the_status_is_an_end() -> None:
    with running(lambda connection: connection.say(3, b'{"status": "Success"}')) as stream:
        assert read_all(stream) == []
    assert stream.status == ExecStatus(True, 0, "")


def test_output_after_the_status_is_not_lost() -> None:
    def script(connection: Connection) -> None:
        connection.say(3, b'{"status": "Success"}')
        connection.say(1, b"late")
        connection.frame(FIN | CLOSE, b"\x03\xe8")

    with running(script) as stream:
        assert read_all(stream) == [(1, b"late")]
    assert stream.status == ExecStatus(True, 0, "")


def test_a_server_that_does_not_close_after_the_status_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(under_test, "_CLOSING_SECONDS", 0.1)
    over = threading.Event()

    def script(connection: Connection) -> None:
        connection.say(3, b'{"status": "Success"}')
        over.wait(30)

    with running(script) as stream:
        assert read_all(stream) == []
        over.set()


def test_silence_is_put_up_with_only_so_long() -> None:
    over = threading.Event()
    with running(lambda _connection: t.cast(None, over.wait(30)), read_timeout=0.2) as stream:
        with pytest.raises(KubernetesError, match=r"no output for 0\.2 s"):
            stream.read_frame()
        over.set()


def test_silence_can_be_put_up_with_less() -> None:
    over = threading.Event()
    with running(lambda _connection: t.cast(None, over.wait(30)), read_timeout=30) as stream:
        stream.wait_at_most(0.2)
        with pytest.raises(KubernetesError, match=r"no output for 0\.2 s"):
            stream.read_frame()
        over.set()


@pytest.mark.parametrize(
    "what_comes", [lambda connection: connection.say(1, b"late"), lambda connection: connection.end(), lose]
)
def test_a_connection_is_quiet_until_something_comes_or_it_ends(what_comes: Script) -> None:
    go_on = threading.Event()

    def script(connection: Connection) -> None:
        connection.say(1, b"answer")
        go_on.wait(30)
        what_comes(connection)

    with running(script) as stream:
        assert stream.read_frame() == (1, b"answer")
        assert stream.is_quiet()
        go_on.set()
        deadline = time.monotonic() + 20
        while stream.is_quiet():
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_silent_connection_is_kept_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "_PING_SECONDS", 0.05)
    pings = []

    def script(connection: Connection) -> None:
        for _again in range(3):
            pings.append(connection.read_frame()[0])
            connection.frame(FIN | PONG)
        connection.end()

    with running(script) as stream:
        assert read_all(stream) == []
    assert pings == [PING, PING, PING]


def test_what_is_sent_arrives_on_stdin() -> None:
    data = bytes(range(256)) * 1000
    received: list[bytes] = []

    def script(connection: Connection) -> None:
        while sum(map(len, received)) < len(data):
            opcode, payload = connection.read_frame()
            assert (opcode, payload[0]) == (BINARY, 0)
            received.append(payload[1:])
        connection.end()

    with running(script, stdin=True) as stream:
        stream.send(b"")
        stream.send(data)
        assert read_all(stream) == []
    assert b"".join(received) == data
    assert max(map(len, received)) <= 64 * 1024


def test_a_ping_while_sending_is_answered_between_two_frames() -> None:
    size = 16 << 20
    sent = threading.Event()
    digest = hashlib.sha256()
    pongs: list[bytes] = []

    def script(connection: Connection) -> None:
        connection.say(1, b"early")
        # By then the client has filled every buffer and stands in the middle of a frame.
        sent.wait(0.5)
        connection.frame(FIN | PING, b"there?")
        count = 0
        while count < size or not pongs:
            opcode, payload = connection.read_frame()
            if opcode == PONG:
                pongs.append(payload)
            else:
                digest.update(payload[1:])
                count += len(payload) - 1
        connection.end()

    data = bytes(size)
    with running(script, stdin=True) as stream:
        stream.send(data)
        sent.set()
        assert read_all(stream) == [(1, b"early")]
    assert pongs == [b"there?"]
    assert digest.digest() == hashlib.sha256(data).digest()


def test_a_command_that_ends_without_reading_its_input_says_so_and_keeps_its_words() -> None:
    over = threading.Event()

    def script(connection: Connection) -> None:
        connection.say(2, b"no such image")
        connection.end(failure(2))
        over.wait(30)

    with running(script, stdin=True) as stream:
        with pytest.raises(KubernetesError, match="ended before it had read its input") as caught:
            stream.send(bytes(64 << 20))
        assert caught.value.details["kind"] == "ended"
        assert read_all(stream) == [(2, b"no such image")]
        assert stream.status is not None
        assert stream.status.exit_code == 2
        over.set()


def test_input_that_is_not_read_is_given_up() -> None:
    over = threading.Event()
    with running(lambda _connection: t.cast(None, over.wait(30)), stdin=True, read_timeout=0.3) as stream:
        with pytest.raises(KubernetesError, match=r"not read for 0\.3 s"):
            stream.send(bytes(64 << 20))
        over.set()


def test_a_connection_lost_while_sending_is_lost() -> None:
    with running(lose, stdin=True) as stream:
        with pytest.raises(KubernetesError, match="was lost"):
            stream.send(bytes(64 << 20))


@pytest.mark.parametrize(("status", "kind"), [("403 Forbidden", "forbidden"), ("404 Not Found", "not_found")])
def test_a_refused_handshake_is_told_in_the_words_of_the_server(status: str, kind: str) -> None:
    body = b'{"kind": "Status", "message": "pods is a secret"}'
    with serving(lambda connection: connection.refuse(status, body), accept=False) as url:
        with pytest.raises(KubernetesError, match=r"tools-1.*pods is a secret") as caught:
            open_exec(connect({"host": url, "api_key": TOKEN}), "rook-ceph", "tools-1", "tools", ["rbd"])
    assert caught.value.details["kind"] == kind
    assert TOKEN not in caught.value.message


def test_a_redirected_handshake_is_not_followed() -> None:
    with serving(lambda connection: connection.refuse("302 Found", b""), accept=False) as url:
        with pytest.raises(KubernetesError, match="tools-1"):
            open_exec(connect({"host": url, "api_key": TOKEN}), "rook-ceph", "tools-1", "tools", ["rbd"])


def test_another_protocol_is_refused() -> None:
    with serving(lambda connection: connection.accept("v9.channel.k8s.io"), accept=False) as url:
        with pytest.raises(KubernetesError, match="gave no stream"):
            open_exec(connect({"host": url, "api_key": TOKEN}), "rook-ceph", "tools-1", "tools", ["rbd"])


def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(
        KubernetesError, match="gave no stream for /api/v1/namespaces/rook-ceph/pods/tools-1/exec"
    ):
        open_exec(
            connect({"host": "http://127.0.0.1:1", "api_key": TOKEN}),
            "rook-ceph",
            "tools-1",
            "tools",
            ["rbd"],
        )
