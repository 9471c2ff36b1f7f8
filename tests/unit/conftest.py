# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Properties are deterministic by default, and have their full counts with RBD_SOAK=1; none is a test of time.

At the end of a run stands how many random cases it ran: each test that has some records them as "cases".
"""

from __future__ import annotations

import os
import typing as t

import hypothesis

_SLICE, _SOAK = 500, 20_000

for _name, _examples in (("ci", _SLICE), ("soak", _SOAK)):
    hypothesis.settings.register_profile(
        _name,
        max_examples=_examples,
        derandomize=_name == "ci",
        database=None,
        deadline=None,
        suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.data_too_large],
    )
hypothesis.settings.load_profile("soak" if os.environ.get("RBD_SOAK") else "ci")


def pytest_terminal_summary(terminalreporter: t.Any) -> None:
    """Add up what the tests recorded with ``record_property("cases", count)``; reports cross process borders."""
    reports = [report for report in terminalreporter.stats.get("passed", ()) if report.when == "call"]
    counts = [count for report in reports for name, count in report.user_properties if name == "cases"]
    if counts:
        terminalreporter.write_line(f"random cases: {sum(counts):,} in {len(counts)} tests")
