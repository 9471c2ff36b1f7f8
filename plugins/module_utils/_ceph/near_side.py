# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The near side of a command in a pod: starts the far side there, and believes only what both sides agree on."""

from __future__ import annotations

import hashlib
import json
import secrets
import struct
import time
import types
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph import (
    child,
    failures,
    far_side,
    packing,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.runner import (
    Completed,
    Receipt,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import CephError, KubernetesError
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.exec import (
    STDERR,
    STDOUT,
    ExecStream,
)

SILENCE = 6 * far_side.BEAT
"""Seconds without a sign of life from the far side after which it is given up."""

_LAG = 10.0  # seconds that an answer may lag behind the word of its end, which travels beside it

BOOTSTRAP = """\
import json, os, sys, types
def read(count):
    data = b""
    while len(data) < count:
        piece = os.read(0, count - len(data))
        if not piece:
            sys.exit(1)
        data += piece
    return data
def frame():
    return read(int.from_bytes(read(4), "big"))
for name, source in json.loads(frame().decode("utf-8")):
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(source, name, "exec"), module.__dict__)
module.main(sys.argv[1:], frame)
"""


def far_command(argv: t.Sequence[str]) -> list[str]:
    """Return the command that runs *argv* under the far side, or if that is empty, one command after the other; what
    it reads first is :func:`program`."""
    # A command that carries a volume stands in the arguments, so that the pod's process list and the API's audit log
    # show it.
    return ["python3", "-I", "-c", BOOTSTRAP, *argv]


def program() -> bytes:
    """Return what the far side reads first: itself."""
    return _message([(module.__name__, _source(module)) for module in (child, packing, far_side)])


def request(
    token: str,
    argv: t.Sequence[str],
    takes_input: bool,
    stall_timeout: float,
    timeout: float,
    pack: t.Sequence[int] = (),
) -> bytes:
    """Return what the far side reads for each command. *pack* are the ways in which stdout may be packed; with none
    of them it comes as it is."""
    wanted = {"token": token, "argv": argv, "input": takes_input, "pack": pack}
    return _message({**wanted, "stall": stall_timeout, "limit": timeout})


def _message(content: t.Any) -> bytes:
    return frame(json.dumps(content).encode("utf-8"))


def frame(data: bytes) -> bytes:
    """Return *data* with its length before it."""
    return struct.pack(">I", len(data)) + data


def _source(module: types.ModuleType) -> str:
    # By the loader: inside the zip that Ansible makes of a module there is no file to read.
    loader = t.cast(t.Any, module.__spec__).loader
    source: str | bytes = loader.get_source(module.__name__)
    # Ansible's own loader of collections returns bytes.
    return source.decode("utf-8") if isinstance(source, bytes) else source


class FarCommand:
    """A command that runs under the far side in a pod.

    A pod or container that restarts meanwhile takes the far side with it, which is seen as a lost connection or a
    missing word of its end; so nothing that comes to a good end here can have come from two lives of a pod.
    """

    def __init__(
        self,
        stream: ExecStream,
        argv: t.Sequence[str],
        takes_input: bool,
        stall_timeout: float,
        timeout: float,
        pack: t.Sequence[int] = (),
        is_new: bool = True,
    ) -> None:
        """*stream* leads to a far side that has nothing else to do; a new one is sent its program. *pack* is as in
        :func:`request`."""
        self.program = argv[0]
        self.acknowledged = 0
        self.sent = 0
        self._stream = stream
        self._takes_input = takes_input
        self._stall_timeout = stall_timeout
        self._timeout = timeout
        # The far side ends the command in time and says so; this is for one that no longer can.
        self._limit = time.monotonic() + timeout + far_side.BEAT
        self._token = secrets.token_hex(16)
        self._line = b""
        self._noise = child.Tail()
        self._end: dict[str, t.Any] | None = None
        self._patience = SILENCE
        stream.wait_at_most(SILENCE)
        wanted = request(self._token, argv, takes_input, stall_timeout, timeout, pack)
        self.send(program() + wanted if is_new else wanted)

    def send(self, data: bytes) -> None:
        """Write to the far side's stdin. Raises CephError, with the reason of the command's end if it has ended."""
        try:
            self._stream.send(data)
        except KubernetesError as error:
            if error.details.get("kind") != "ended":
                raise CephError(error.message, **error.details) from None
            while self.receive() is not None:
                pass
            self.end()
            raise CephError(f"{self.program} ended before it had taken all of its input.") from None

    def receive(self) -> bytes | None:
        """Return the next bytes of the command's stdout (none for a word of the far side), or None at the end."""
        if self._ended_early():
            return None
        remaining = self._limit - time.monotonic()
        if remaining <= 0:
            raise failures.late(self.program, self._timeout, self._noise.text())
        patience = min(self._patience, remaining)
        if patience < SILENCE:
            self._stream.wait_at_most(patience)
        try:
            came = self._stream.read_frame()
        except KubernetesError as error:
            raise CephError(error.message, **error.details) from None
        if came is None:
            return None
        channel, data = came
        if channel == STDOUT:
            return data
        if channel == STDERR:
            self._listen(data)
        return b""

    def end(self) -> dict[str, t.Any]:
        """Return what the far side said of the command's end, whatever its exit code. Raises CephError when it said
        nothing or did not end well itself, or had to end the command."""
        status = self._stream.status
        if not (self._ended_early() or (status is not None and status.success)):
            raise self._broken()
        return self._verdict()

    def _verdict(self) -> dict[str, t.Any]:
        end = self._end
        if end is None:
            raise self._broken()
        why, said = end["why"], str(end["stderr"])
        if why == "start":
            raise CephError(
                f"{self.program} could not be started in the pod: {said}. Choose the pod and the container that hold "
                "Ceph's programs (selector, container)."
            )
        if why == "stalled":
            raise failures.stalled(self.program, self._stall_timeout, said)
        if why == "late":
            raise failures.late(self.program, self._timeout, said)
        if why:
            raise CephError(
                f"What was sent to {self.program} arrived damaged; it was ended before it could finish."
            )
        return end

    def run(self) -> Completed:
        """Read the answer of the command, after which the far side has nothing to do again. Raises CephError unless
        both sides carried the same."""
        pieces: list[bytes] = []
        count = 0
        while self._is_missing(count):
            if self._end is not None:
                self._patience = _LAG
            data = self.receive()
            if data is None:
                break
            pieces.append(data)
            count += len(data)
        end = self._verdict()
        stdout = b"".join(pieces)
        self._compare(end, count, hashlib.sha256(stdout).hexdigest())
        return Completed(int(end["rc"]), stdout, str(end["stderr"]))

    def _is_missing(self, count: int) -> bool:
        """Whether more is to come of an answer of which *count* bytes have."""
        end = self._end
        return end is None or (not end["why"] and count < end["bytes"])

    def prove(self, count: int, sha256: str) -> Receipt:
        """Raises CephError unless the command exited 0 and both sides carried *count* bytes of that SHA-256."""
        end = self.end()
        if end["rc"] != 0:
            raise failures.ended(self.program, int(end["rc"]), str(end["stderr"]))
        self._compare(end, count, sha256)
        return Receipt(count, str(end["stderr"]))

    def close(self) -> None:
        """Cut the connection; a command that still runs is killed by the far side when it sees that."""
        self._stream.close()

    def _ended_early(self) -> bool:
        """Whether the command failed before it had all of its input: no status comes while some is unread."""
        end = self._end
        if end is None or not self._takes_input:
            return False
        return bool(end["why"]) or end["rc"] != 0 or end["bytes"] != self.sent

    def _listen(self, data: bytes) -> None:
        *lines, self._line = (self._line + data).split(b"\n")
        token = self._token.encode("ascii") + b" "
        for line in lines:
            if not line.startswith(token):
                self._noise.add(line + b"\n")
                continue
            word = json.loads(line[len(token) :])
            self.acknowledged = word.get("ack", self.acknowledged)
            self._end = word.get("end", self._end)

    def damaged(self, how: str) -> CephError:
        """The error that what came is not what was sent."""
        return CephError(
            f"What {self.program} carried was damaged on its way: {how}. It is not to be used.", broken=True
        )

    def _compare(self, end: dict[str, t.Any], count: int, sha256: str) -> None:
        if (end["bytes"], end["sha256"]) != (count, sha256):
            raise self.damaged(
                f"{end['bytes']} bytes (SHA-256 {end['sha256']}) in the pod are {count} bytes (SHA-256 {sha256}) here"
            )

    def _broken(self) -> CephError:
        status = self._stream.status
        self._noise.add(self._line)
        said = " / ".join(
            part for part in (status.message if status else "", self._noise.text().strip()) if part
        )
        if self._end is None and status and not status.success and '"python3"' in status.message:
            return CephError(
                f"The container has no python3, which is needed to see how a command in a pod ended: {status.message}"
            )
        return CephError(
            f"The pod did not say how {self.program} ended, so that what was transferred may be cut short and is not "
            f"to be used: {said or 'without a word'}",
            broken=True,
        )
