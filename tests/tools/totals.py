# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Add up JUnit reports: ``totals.py REPORT_DIRECTORY... -- FAILED_TARGET...``.

A target that failed although no test of the reports did (a linter, or a run that died before its tests) counts as
one failure, so that the last line never says "0 failed" of a run that failed.
"""

from __future__ import annotations

import collections
import pathlib
import sys
import xml.etree.ElementTree as ET


def count(directories: list[str]) -> collections.Counter[str]:
    """Count the test cases of all reports by their outcome."""
    outcomes: collections.Counter[str] = collections.Counter()
    for directory in directories:
        for report in sorted(pathlib.Path(directory).glob("*.xml")):
            for case in ET.parse(report).iter("testcase"):
                marks = {child.tag for child in case}
                if marks & {"failure", "error"}:
                    outcomes["failed"] += 1
                    print(f"failed: {case.get('classname')} {case.get('name')}")
                else:
                    outcomes["skipped" if "skipped" in marks else "passed"] += 1
    return outcomes


def main() -> int:
    """Print the totals, the plain line last, and say by the exit code whether all is well."""
    end = sys.argv.index("--")
    outcomes, targets = count(sys.argv[1:end]), sys.argv[end + 1 :]
    failed = outcomes["failed"] or len(targets)
    if targets:
        print("failed targets:", ", ".join(targets))
    if outcomes["skipped"]:
        print(f"{outcomes['skipped']} skipped")
    print(f"{outcomes['passed']} passed, {failed} failed")
    return 1 if failed or not outcomes["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
