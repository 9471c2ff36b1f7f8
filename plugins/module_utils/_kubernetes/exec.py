# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a command in a pod and hands its output on frame by frame, as it comes.

Why not the library's ``stream()``: its buffer is quadratic in some releases and drops data in others. Why not
``kubectl exec``: it exits 0 when the connection is lost in mid-stream (kubernetes/kubectl#1726). Here an end is an end
only when the status frame (channel 3 of ``v4.channel.k8s.io``) has been read; everything else is an error.

The protocol has no way to close stdin alone: the command has to know how much it is to read.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import select
import ssl
import time
import types
import typing as t
from urllib.parse import quote

from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import KubernetesError
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.client import Cluster

try:
    from websocket import ABNF, WebSocketException, WebSocketTimeoutException
except ImportError:
    pass  # a Cluster cannot be had without it

STDIN, STDOUT, STDERR, STATUS = 0, 1, 2, 3
PROTOCOL = "v4.channel.k8s.io"

_CHUNK = 64 * 1024
_HANDSHAKE_SECONDS = 30.0
# Proxies and load balancers drop a connection that is silent for a minute; many do so after less.
_PING_SECONDS = 20.0
# After its status frame the server only has to close the connection.
_CLOSING_SECONDS = 10.0

Frame = tuple[int, bytes]


@dataclasses.dataclass(frozen=True)
class ExecStatus:
    """How a command ended. ``exit_code`` is None when it was not the command that failed but running it."""

    success: bool
    exit_code: int | None
    message: str


class ExecStream:
    """A running command. One thread only: frames are read and sent in turns. Leaving the context closes it.

    Closing does not end a process that ignores its closed stdin and stdout: processes in a pod outlive the client.
    """

    def __init__(self, socket: t.Any, what: str, read_timeout: float) -> None:
        """*what* names the command and the pod in errors; *read_timeout* in seconds, see :meth:`read_frame`."""
        self.status: ExecStatus | None = None
        self._socket = socket
        self._what = what
        self._read_timeout = read_timeout
        self._waiting: collections.deque[Frame] = collections.deque()
        self._unfinished = b""
        self._writing = False
        self._pongs: list[bytes] = []
        self._ended = False
        self._poll = select.poll()
        self._poll.register(socket.fileno(), select.POLLIN)
        socket.settimeout(read_timeout)

    def read_frame(self) -> Frame | None:
        """Return (channel, data) of the next frame of output, or None after the end; then ``status`` is set.

        Raises KubernetesError when nothing comes for ``read_timeout`` seconds, and when the connection ends before the
        status of the command has come: what was read until then may be cut short.
        """
        if self._waiting:
            return self._waiting.popleft()
        while not self._ended:
            frame = self._receive()
            if frame is not None:
                return frame
        if self.status is None:
            raise self._lost("it has no status")
        return None

    def send(self, data: bytes) -> None:
        """Write *data* to the command's stdin.

        Output that comes meanwhile is kept for :meth:`read_frame`. Raises KubernetesError of kind ``ended`` when the
        command has ended without reading it all (its status and output can still be read), of kind ``lost`` when the
        connection is lost.
        """
        view = memoryview(data)
        for start in range(0, len(view), _CHUNK):
            payload = bytes((STDIN,)) + view[start : start + _CHUNK]
            self._write(ABNF.create_frame(payload, ABNF.OPCODE_BINARY).format())
            while self._pongs:
                self._socket.pong(self._pongs.pop(0))

    def wait_at_most(self, seconds: float) -> None:
        """Let *seconds* be ``read_timeout`` from now on."""
        self._read_timeout = seconds
        self._socket.settimeout(seconds)

    def is_quiet(self) -> bool:
        """Whether the connection stands and nothing has come that was not read: no output, and no end."""
        return not (self._ended or self._waiting or self._readable(0))

    def close(self) -> None:
        """Cut the connection. Without a status the command may still be running."""
        self._ended = True
        self._socket.shutdown()

    def __enter__(self) -> ExecStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        self.close()

    def _write(self, frame: bytes) -> None:
        """Write one frame, and read what comes meanwhile.

        A command that ends early leaves its stdin unread: only its status, which has to be read, unblocks this.
        """
        raw = self._socket.sock
        rest = memoryview(frame)
        deadline = time.monotonic() + self._read_timeout
        self._writing = True
        while rest:
            self._keep_what_has_come()
            if self.status is not None:
                raise KubernetesError(f"{self._what} ended before it had read its input.", kind="ended")
            raw.settimeout(0)
            try:
                rest = rest[raw.send(rest) :]
                deadline = time.monotonic() + self._read_timeout
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                self._wait_until_it_moves(deadline)
            except OSError as err:
                raise self._lost(str(err)) from None
            finally:
                raw.settimeout(self._read_timeout)
        self._writing = False

    def _wait_until_it_moves(self, deadline: float) -> None:
        poll = select.poll()
        poll.register(self._socket.fileno(), select.POLLIN | select.POLLOUT)
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise self._lost(f"its input was not read for {self._read_timeout:g} s")

    def _receive(self) -> Frame | None:
        """Read one frame. None for one that carries no output: ping, pong, close, status, an empty one."""
        if not self._wait_for_frame():
            self._ended = True
            return None
        try:
            frame = self._socket.recv_frame()
        except WebSocketTimeoutException:
            raise self._lost(f"a frame stopped half-way for {self._read_timeout:g} s") from None
        except (WebSocketException, OSError) as err:
            self._ended = True
            if self.status is None:
                raise self._lost(str(err)) from None
            return None
        if frame.opcode == ABNF.OPCODE_CLOSE:
            self._ended = True
            if self.status is None:
                raise self._lost("the server closed it")
            return None
        if frame.opcode == ABNF.OPCODE_PING:
            self._answer(frame.data)
            return None
        return self._take(frame) if frame.opcode != ABNF.OPCODE_PONG else None

    def _take(self, frame: t.Any) -> Frame | None:
        """Join the parts of a message; take its channel off; keep the status."""
        message = self._unfinished + frame.data
        self._unfinished = b"" if frame.fin else message
        if not frame.fin or len(message) < 2:
            return None
        channel, data = message[0], message[1:]
        if channel != STATUS:
            return channel, data
        self.status = _parse_status(data)
        if self.status is None:
            raise self._lost(f"its status cannot be read: {data[:200]!r}")
        return None

    def _answer(self, ping: bytes) -> None:
        # In the middle of a frame of ours an answer would be taken for a part of it.
        if self._writing:
            self._pongs.append(ping)
        else:
            self._socket.pong(ping)

    def _readable(self, seconds: float) -> bool:
        # What TLS has already decrypted does not show on the socket.
        raw = self._socket.sock
        if isinstance(raw, ssl.SSLSocket) and raw.pending():
            return True
        return bool(self._poll.poll(max(0.0, seconds) * 1000))

    def _wait_for_frame(self) -> bool:
        """Wait for the next frame, keeping the connection alive meanwhile. False: the status came, nothing more did."""
        limit = self._read_timeout if self.status is None else _CLOSING_SECONDS
        deadline = time.monotonic() + limit
        while not self._readable(min(_PING_SECONDS, deadline - time.monotonic())):
            if time.monotonic() >= deadline:
                if self.status is not None:
                    return False
                raise self._lost(f"no output for {limit:g} s")
            try:
                self._socket.ping()
            except (WebSocketException, OSError) as err:
                raise self._lost(str(err)) from None
        return True

    def _keep_what_has_come(self) -> None:
        while not self._ended and self._readable(0):
            frame = self._receive()
            if frame is not None:
                self._waiting.append(frame)

    def _lost(self, reason: str) -> KubernetesError:
        self._ended = True
        return KubernetesError(
            f"The connection to {self._what} was lost before it ended: {reason}. What was transferred may be cut "
            "short and is not to be used.",
            kind="lost",
        )


def open_exec(
    cluster: Cluster,
    namespace: str,
    pod: str,
    container: str,
    argv: t.Sequence[str],
    stdin: bool = False,
    read_timeout: float = 300.0,
) -> ExecStream:
    """Start *argv* in a container. Raises KubernetesError; in that case nothing was started.

    *read_timeout* is the longest silence in seconds that is put up with, in either direction.
    """
    query = [("container", container), ("stdin", "true" if stdin else "false")]
    query += [("stdout", "true"), ("stderr", "true"), ("tty", "false")]
    query += [("command", argument) for argument in argv]
    path = f"/api/v1/namespaces/{quote(namespace, safe='')}/pods/{quote(pod, safe='')}/exec"
    socket = cluster.websocket(path, query, PROTOCOL, _HANDSHAKE_SECONDS)
    return ExecStream(socket, f"{argv[0]} in pod {namespace}/{pod} (container {container})", read_timeout)


def _parse_status(data: bytes) -> ExecStatus | None:
    """Read the Status object that ends an exec (kubernetes/apimachinery, StatusReasons NonZeroExitCode, ExitCode)."""
    try:
        status = json.loads(data)
        if status["status"] == "Success":
            return ExecStatus(True, 0, "")
        causes = (status.get("details") or {}).get("causes") or []
        codes = [cause["message"] for cause in causes if cause.get("reason") == "ExitCode"]
        return ExecStatus(
            False, int(codes[0]) if codes else None, str(status.get("message") or status["status"])
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
