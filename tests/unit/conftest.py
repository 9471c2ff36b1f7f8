# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Says at the end of a run how many random cases it ran: each test that has some records them as "cases"."""

from __future__ import annotations

import typing as t


def pytest_terminal_summary(terminalreporter: t.Any) -> None:
    """Add up what the tests recorded with ``record_property("cases", count)``; reports cross process borders."""
    reports = [report for report in terminalreporter.stats.get("passed", ()) if report.when == "call"]
    counts = [count for report in reports for name, count in report.user_properties if name == "cases"]
    if counts:
        terminalreporter.write_line(f"random cases: {sum(counts):,} in {len(counts)} tests")
