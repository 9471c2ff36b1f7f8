# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times several ways of doing the same thing in turns, so that what else the machine does meets all of them alike."""

from __future__ import annotations

import dataclasses
import os
import statistics
import time
import typing as t

Way = t.Callable[[], object]


@dataclasses.dataclass(frozen=True)
class Line:
    """One line of the table. ``met`` is None where there is no target."""

    what: str
    figure: str
    target: str = ""
    met: bool | None = None


@dataclasses.dataclass(frozen=True)
class Times:
    """The seconds that each way took, round by round."""

    rounds: dict[str, list[float]]

    def median(self, way: str) -> float:
        """The median of a way's times."""
        return statistics.median(self.rounds[way])

    def ratio(self, way: str, other: str) -> float:
        """The median of the ratios of *way* to *other*, each taken within one round."""
        pairs = zip(self.rounds[way], self.rounds[other])
        return statistics.median(one / another for one, another in pairs)

    def line(self, what: str, way: str, other: str, most: float | None = None) -> Line:
        """Compare *way* with *other*; the ratio may be *most*."""
        ratio = self.ratio(way, other)
        return Line(
            what,
            f"{way} {self.median(way):.2f} s, {other} {self.median(other):.2f} s: {ratio:.2f}x",
            "" if most is None else f"<= {most:.2f}x",
            None if most is None else ratio <= most,
        )


def in_turns(repeats: int, ways: t.Mapping[str, Way], before: t.Mapping[str, Way] | None = None) -> Times:
    """Do each of *ways* in turn, *repeats* times, after one round that is not counted: it warms the caches.

    What is in *before* under a way's name is done before it each time, and not timed.
    """
    rounds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(repeats + 1):
        for name, way in ways.items():
            if before and name in before:
                before[name]()
            os.sync()  # what one way left to be written must not slow the next one down
            started = time.perf_counter()
            way()
            if number:
                rounds[name].append(time.perf_counter() - started)
    return Times(rounds)
