# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast snapshots are removed: Ceph has work with every one, long after the command has ended."""

from __future__ import annotations

import threading
import time
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import CephError, InvalidInput
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Snapshot

_ASK_EVERY = 10.0  # seconds; the cluster itself counts no more often than about every five
_PATIENCE = 300.0  # seconds for which a run waits for the cluster


class RemovalPace:
    """The pace of one run, shared by all its volumes.

    *limit* is how many snapshots the run may remove (None: any number), *per_second* how many in a second.
    *trimming* asks the cluster how many placement groups are busy with removed snapshots; with more than *busy* the run
    waits for a few minutes, and then leaves the rest to the next one. Raises InvalidInput.
    """

    def __init__(
        self,
        limit: int | None,
        per_second: float,
        busy: int,
        trimming: t.Callable[[], int],
        clock: t.Callable[[], float] = time.monotonic,
        wait: t.Callable[[float], object] = time.sleep,
    ) -> None:
        if limit is not None and limit < 1:
            raise InvalidInput(
                f"max_snapshot_removals is {limit}: it must be 1 or more. Nothing was touched."
            )
        if per_second <= 0:
            raise InvalidInput(
                f"snapshot_removals_per_second is {per_second}: it must be more than 0. Nothing was touched."
            )
        if busy < 0:
            raise InvalidInput(f"max_snaptrim_pgs is {busy}: it must be 0 or more. Nothing was touched.")
        self._left = limit
        self._limit = limit
        self._interval = 1 / per_second
        self._busy = busy
        self._trimming = trimming
        self._clock = clock
        self._wait = wait
        self._next = clock()
        self._ask_at = clock()
        self._stopped: str | None = None
        self._lock = threading.Lock()

    def remove(
        self, snapshots: t.Sequence[Snapshot], remove: t.Callable[[Snapshot], object]
    ) -> tuple[list[Snapshot], str | None]:
        """Call *remove* with each of *snapshots* as soon as it may go. Returns those that have to wait, and why."""
        for number, snapshot in enumerate(snapshots):
            refusal = self.refusal()
            if refusal:
                return list(snapshots[number:]), refusal
            remove(snapshot)
        return [], None

    def refusal(self) -> str | None:
        """Wait until one more snapshot may be removed, and return None; or return why none may be in this run."""
        with self._lock:
            if self._stopped is None:
                self._stopped = self._too_many() or self._too_busy()
            if self._stopped is None:
                if self._left is not None:
                    self._left -= 1
                self._pause(self._next - self._clock())
                self._next = self._clock() + self._interval
            return self._stopped

    def _too_many(self) -> str | None:
        return f"max_snapshot_removals is {self._limit}" if self._left == 0 else None

    def _too_busy(self) -> str | None:
        waited = 0.0
        while self._clock() >= self._ask_at:
            try:
                count = self._trimming()
            except CephError as error:
                return f"nobody knows how busy the cluster is: {error.message}"
            self._ask_at = self._clock() + _ASK_EVERY
            if count > self._busy:
                if waited >= _PATIENCE:
                    return (
                        f"{count} placement groups trim removed snapshots (max_snaptrim_pgs is {self._busy})"
                    )
                waited += _ASK_EVERY
                self._pause(_ASK_EVERY)
        return None

    def _pause(self, seconds: float) -> None:
        if seconds > 0:
            self._wait(seconds)
