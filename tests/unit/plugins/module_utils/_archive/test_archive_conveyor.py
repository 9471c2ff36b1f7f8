# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The conveyor: nothing is lost, swapped or swallowed between its two ends."""

from __future__ import annotations

import threading

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.conveyor import Conveyor

PIECES = [b"%d" % number for number in range(100)]


def test_everything_is_taken_in_order_by_another_thread() -> None:
    taken: list[bytes] = []
    threads = set()

    def take(piece: bytes) -> None:
        taken.append(piece)
        threads.add(threading.get_ident())

    conveyor = Conveyor(take)
    for piece in PIECES:
        conveyor.put(piece)
    conveyor.finish()
    assert taken == PIECES
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_only_a_few_pieces_wait() -> None:
    go_on = threading.Event()
    began = threading.Event()
    taken: list[bytes] = []

    def take(piece: bytes) -> None:
        began.set()
        go_on.wait()
        taken.append(piece)

    conveyor = Conveyor(take)
    putting = threading.Thread(target=lambda: [conveyor.put(piece) for piece in PIECES])
    putting.start()
    began.wait()
    putting.join(0.1)
    assert putting.is_alive()
    go_on.set()
    putting.join()
    conveyor.finish()
    assert taken == PIECES


def test_an_error_stops_it_and_is_raised_where_the_pieces_come_from() -> None:
    taken: list[bytes] = []

    def take(piece: bytes) -> None:
        if piece == b"3":
            raise OSError("full")
        taken.append(piece)

    conveyor = Conveyor(take)

    def put_all() -> None:
        for piece in PIECES:
            conveyor.put(piece)

    with pytest.raises(OSError, match="full"):
        put_all()
    with pytest.raises(OSError, match="full"):
        conveyor.finish()
    assert taken == PIECES[:3]


def test_an_error_of_the_last_piece_is_raised_at_the_end() -> None:
    conveyor = Conveyor(lambda piece: 1 // len(piece))  # type: ignore[arg-type, return-value]
    conveyor.put(b"")
    with pytest.raises(ZeroDivisionError):
        conveyor.finish()


def test_what_waits_is_thrown_away_when_it_is_stopped() -> None:
    began, go_on = threading.Event(), threading.Event()
    taken: list[bytes] = []

    def take(piece: bytes) -> None:
        began.set()
        go_on.wait()
        taken.append(piece)

    conveyor = Conveyor(take)
    for piece in PIECES[:4]:
        conveyor.put(piece)
    began.wait()
    stopping = threading.Thread(target=conveyor.stop)
    stopping.start()
    while not conveyor._stopped:
        stopping.join(0.001)
    go_on.set()
    stopping.join()
    assert taken == PIECES[:1]
    conveyor.stop()
