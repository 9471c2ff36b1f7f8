# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pace at which snapshots are removed, on a clock that stands still while nobody waits."""

from __future__ import annotations

import threading
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.pacing import RemovalPace
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import CephError, InvalidInput
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Snapshot


class Clock:
    """Goes on only while somebody waits."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


def pace(
    clock: Clock,
    trimming: t.Callable[[], int] = lambda: 0,
    limit: int | None = None,
    per_second: float = 1000.0,
    busy: int = 10,
) -> RemovalPace:
    return RemovalPace(limit, per_second, busy, trimming, clock, clock.wait)


def test_so_many_in_a_second() -> None:
    clock = Clock()
    it = pace(clock, per_second=4)
    for _again in range(9):
        assert it.refusal() is None
    assert clock.now == pytest.approx(1002.0)


def test_so_many_in_a_run() -> None:
    it = pace(Clock(), limit=2)
    assert [it.refusal() for _again in range(2)] == [None, None]
    assert "max_snapshot_removals is 2" in (it.refusal() or "")
    assert it.refusal() is not None


def test_volumes_that_are_worked_on_at_once_share_the_limit() -> None:
    refusals: list[str | None] = []
    other = threading.Thread(target=lambda: refusals.append(it.refusal()))

    def trimming() -> int:
        if not other.is_alive() and not refusals:
            other.start()
            other.join(0.1)  # it has to wait until the first has been told
        return 0

    it = pace(Clock(), trimming, limit=1)
    refusals.insert(0, it.refusal())
    other.join()
    assert sorted(refusal is None for refusal in refusals) == [False, True]


def test_those_beyond_the_limit_wait_and_it_is_said_why() -> None:
    snapshots = [Snapshot(number, f"gfs-2026110{number}T170000Z", 100) for number in (1, 2, 3)]
    removed: list[Snapshot] = []
    waiting, why = pace(Clock(), limit=2).remove(snapshots, removed.append)
    assert (removed, waiting) == (snapshots[:2], snapshots[2:])
    assert "max_snapshot_removals is 2" in (why or "")
    assert pace(Clock()).remove(snapshots, removed.append) == ([], None)


def test_a_busy_cluster_is_awaited_and_asked_now_and_then_only() -> None:
    clock, answers = Clock(), [11, 10, 0]
    asked: list[float] = []

    def trimming() -> int:
        asked.append(clock.now)
        return answers[len(asked) - 1]

    it = pace(clock, trimming)
    assert it.refusal() is None
    assert asked == [1000.0, 1010.0], "11 are too many, 10 are not"
    clock.now += 9
    assert it.refusal() is None
    assert len(asked) == 2
    clock.now += 1
    assert it.refusal() is None
    assert len(asked) == 3


def test_a_cluster_that_stays_busy_stops_the_run_for_good() -> None:
    clock = Clock()
    it = pace(clock, lambda: 11)
    assert "11 placement groups" in (it.refusal() or "")
    assert clock.now == 1300.0
    assert it.refusal() is not None
    assert clock.now == 1300.0


def test_a_cluster_that_does_not_answer_stops_the_run() -> None:
    def silent() -> int:
        raise CephError("no answer")

    assert "no answer" in (pace(Clock(), silent).refusal() or "")


@pytest.mark.parametrize(
    ("numbers", "word"),
    [
        ({"limit": 0}, "max_snapshot_removals"),
        ({"per_second": 0.0}, "snapshot_removals_per_second"),
        ({"busy": -1}, "max_snaptrim_pgs"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(numbers: dict[str, t.Any], word: str) -> None:
    with pytest.raises(InvalidInput, match=word):
        pace(Clock(), **numbers)
