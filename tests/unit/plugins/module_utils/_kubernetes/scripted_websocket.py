# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A WebSocket server that does what a test tells it, byte by byte: a fake kubelet, for connections that break."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import socket
import struct
import threading
import typing as t

FIN = 0x80
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
SUCCESS = {"metadata": {}, "status": "Success"}


def failure(exit_code: int) -> dict[str, t.Any]:
    """Return the status of a command that exited with *exit_code*, as the kubelet writes it."""
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit code {exit_code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(exit_code)}]},
    }


class Connection:
    """The server's end."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self.request = self._read_until(b"\r\n\r\n").decode()

    def refuse(self, status: str, body: bytes) -> None:
        """Answer the handshake with an HTTP error."""
        self._end.sendall(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

    def accept(self, protocol: str = "v4.channel.k8s.io") -> None:
        """Answer the handshake."""
        key = next(
            line for line in self.request.split("\r\n") if line.lower().startswith("sec-websocket-key")
        )
        digest = hashlib.sha1((key.split(": ")[1] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        self._end.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n"
            b"Sec-WebSocket-Protocol: " + protocol.encode() + b"\r\n\r\n"
        )

    def frame(self, first: int, payload: bytes = b"") -> None:
        """Send one frame; *first* is its first byte (FIN and the opcode)."""
        length = bytes((len(payload),)) if len(payload) < 126 else b"\x7f" + struct.pack(">Q", len(payload))
        self._end.sendall(bytes((first,)) + length + payload)

    def say(self, channel: int, data: bytes) -> None:
        """Send *data* on a channel."""
        self.frame(FIN | BINARY, bytes((channel,)) + data)

    def end(self, status: t.Any = None) -> None:
        """Send the status and close, as a command that has ended."""
        self.say(3, json.dumps(status or SUCCESS).encode())
        self.frame(FIN | CLOSE, struct.pack(">H", 1000))

    def read_frame(self) -> tuple[int, bytes]:
        """Return opcode and payload of the client's next frame."""
        first, length = self._read(2)
        assert length & 0x80, "a client masks its frames"
        length &= 0x7F
        if length == 126:
            length = struct.unpack(">H", self._read(2))[0]
        elif length == 127:
            length = struct.unpack(">Q", self._read(8))[0]
        mask = self._read(4)
        payload = self._read(length)
        masks = (mask * (length // 4 + 1))[:length]
        plain = int.from_bytes(payload, "big") ^ int.from_bytes(masks, "big")
        return first & 0x0F, plain.to_bytes(length, "big")

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self._end.recv(size - len(data))
            if not piece:
                raise ConnectionError("the client has gone")
            data += piece
        return data

    def _read_until(self, end: bytes) -> bytes:
        data = b""
        while not data.endswith(end):
            data += self._read(1)
        return data


@contextlib.contextmanager
def serving(script: t.Callable[[Connection], None], accept: bool = True) -> t.Iterator[str]:
    """Serve one connection with *script*, yield the URL; what went wrong in the script is raised at the end."""
    errors: list[BaseException] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            try:
                end, _address = server.accept()
                with end:
                    connection = Connection(end)
                    if accept:
                        connection.accept()
                    script(connection)
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            thread.join(30)
    assert not thread.is_alive()
    if errors:
        raise errors[0]
