# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs Ceph's commands in a pod that can reach Ceph: Rook's toolbox or operator."""

from __future__ import annotations

import math
import threading
import time
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.near_side import (
    SILENCE,
    FarCommand,
    far_command,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.pod_streams import PodInput, PodOutput
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.runner import (
    Completed,
    InputStream,
    OutputStream,
    Runner,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.unpacking import ACCEPTED
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import CephError, KubernetesError
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.client import Cluster
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.exec import ExecStream, open_exec
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.pods import PodRef, find_pod

# As JSON knows no infinity: longer than any command is waited for.
_NEVER = 10.0 * 365 * 86400

PAUSES = (2.0, 5.0, 10.0)
"""Seconds between attempts to start a command where the API server cannot reach the pod's node: a kubelet that is
restarted is away for so long."""

_FRESH = 20.0
"""Seconds for which a connection that nothing passes is not yet forgotten by a proxy, nor by the far side."""


class PodRunner(Runner):
    """Commands in the running and ready pod of *namespace* that *selector* finds; looked up once, and again when it
    has gone. *container* is the pod's first if not given."""

    def __init__(
        self, cluster: t.Callable[[], Cluster], namespace: str, selector: str, container: str | None = None
    ) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._selector = selector
        self._container = container
        self._lock = threading.Lock()
        self._pod: PodRef | None = None
        self._patient = True
        # Far sides that have answered, and since when: starting one costs more than most commands.
        self._free: list[tuple[ExecStream, float]] = []

    def run(self, argv: t.Sequence[str], timeout: float) -> Completed:
        """See Runner."""
        stream = self._take_free()
        is_new = stream is None
        if stream is None:
            stream = self._open(far_command(()))
        try:
            completed = FarCommand(stream, argv, False, _NEVER, timeout, is_new=is_new).run()
        except BaseException:
            stream.close()
            raise
        with self._lock:
            self._free.append((stream, time.monotonic()))
        return completed

    def open_output(
        self, argv: t.Sequence[str], stall_timeout: float, timeout: float = math.inf
    ) -> OutputStream:
        """See Runner."""
        return PodOutput(self._start(argv, False, stall_timeout, min(timeout, _NEVER), ACCEPTED))

    def open_input(self, argv: t.Sequence[str], stall_timeout: float) -> InputStream:
        """See Runner."""
        return PodInput(self._start(argv, True, stall_timeout, _NEVER))

    def describe(self) -> str:
        """See Runner."""
        pod = self._pod
        if pod is None:
            return f"a pod of {self._namespace} labelled {self._selector}"
        return f"pod {self._namespace}/{pod.name}"

    def close(self) -> None:
        """See Runner."""
        while self._free:
            self._free.pop()[0].close()

    def _take_free(self) -> ExecStream | None:
        """Return the connection to a far side that has nothing to do, if there is one that still stands."""
        while True:
            with self._lock:
                if not self._free:
                    return None
                stream, since = self._free.pop()
            if time.monotonic() - since < _FRESH and stream.is_quiet():
                return stream
            stream.close()

    def _start(
        self,
        argv: t.Sequence[str],
        takes_input: bool,
        stall_timeout: float,
        timeout: float,
        pack: t.Sequence[int] = (),
    ) -> FarCommand:
        stream = self._open(far_command(argv))
        try:
            return FarCommand(stream, argv, takes_input, stall_timeout, timeout, pack)
        except BaseException:
            stream.close()
            raise

    def _open(self, argv: t.Sequence[str]) -> ExecStream:
        """Start *argv*. Where that fails nothing was started, so that it may be tried again whatever it does."""
        pauses = iter(PAUSES if self._patient else ())
        while True:
            try:
                stream = self._try_to_open(argv)
            except KubernetesError as error:
                passes = error.details.get("kind") == "server"
                pause = next(pauses, None) if passes else None
                if pause is None:
                    # Who waited in vain waits no more: there may be hundreds of volumes to ask for.
                    self._patient = self._patient and not passes
                    raise CephError(error.message + self._advice(error), **error.details) from None
                time.sleep(pause)
            else:
                self._patient = True
                return stream

    def _try_to_open(self, argv: t.Sequence[str]) -> ExecStream:
        with self._lock:
            known = self._pod
        if known is not None:
            try:
                return self._exec(known, argv)
            except KubernetesError:
                found = self._find()
                if found.uid == known.uid:
                    raise
        else:
            found = self._find()
        return self._exec(found, argv)

    def _find(self) -> PodRef:
        found = find_pod(self._cluster(), self._namespace, self._selector)
        if self._container is not None and self._container not in found.containers:
            raise KubernetesError(
                f"Pod {self._namespace}/{found.name} has no container {self._container}; it has: "
                f"{', '.join(found.containers)}."
            )
        with self._lock:
            self._pod = found
        return found

    def _exec(self, pod: PodRef, argv: t.Sequence[str]) -> ExecStream:
        return open_exec(
            self._cluster(),
            self._namespace,
            pod.name,
            self._container or pod.containers[0],
            argv,
            stdin=True,
            read_timeout=SILENCE,
        )

    def _advice(self, error: KubernetesError) -> str:
        if error.details.get("kind") != "forbidden":
            return ""
        return (
            f" To reach Ceph through a pod the account needs, in namespace {self._namespace}, the verb list "
            "on pods, and get and create on pods/exec."
        )
