# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints at the end how many cases ran."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._diffstream import cases


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item: pytest.Item) -> t.Iterator[None]:
    """Note how many cases a test ran where a parallel run takes it to the process that prints."""
    before = cases.total()
    yield
    item.user_properties.append(("diffstream cases", cases.total() - before))


def pytest_terminal_summary(terminalreporter: t.Any) -> None:
    """Print how many cases ran."""
    counts = [
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", None) == "teardown"
        for name, value in report.user_properties
        if name == "diffstream cases"
    ]
    if counts:
        terminalreporter.write_line(f"diffstream: {sum(counts)} cases in {len(counts)} tests")
