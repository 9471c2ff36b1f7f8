# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two years of daily backups and weekly consolidations as a table: the part of docs/retention.md between its marks.

The rule and the plan are the real ones; the volume is in memory. In percent of the volume every day brings a diff of 1,
and a full is 100. With --write the table is put into the documentation.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import pathlib
import runpy
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    runpy.run_path(str(ROOT / "tests" / "conftest.py"))  # lets the checkout be imported as the collection

from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import (  # noqa: E402
    Archive,
    Snapshot,
    State,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._names import snapshot_name  # noqa: E402
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.backup import (  # noqa: E402
    Holdings,
    plan_backup,
    state_of,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.consolidation import (  # noqa: E402
    ConsolidationPlan,
    plan_consolidation,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._retention import Policy  # noqa: E402

DOCUMENT = ROOT / "docs" / "retention.md"
BEGIN, END = "<!-- simulation: begin -->\n", "<!-- simulation: end -->\n"
FIRST = dt.datetime(2025, 1, 1, 17, tzinfo=dt.timezone.utc)
DAYS = 730
POLICY = Policy(timezone="UTC")
FULL, DIFF = 100, 1
OUTAGE = range(FIRST.toordinal() + 560, FIRST.toordinal() + 581)  # three weeks without a snapshot or a run


@dataclasses.dataclass
class Volume:
    """Snapshots and archives of one volume."""

    snapshots: list[Snapshot] = dataclasses.field(default_factory=list)
    archives: list[Archive] = dataclasses.field(default_factory=list)
    taken: int = 0

    def holdings(self) -> Holdings:
        """What a plan is made of."""
        return Holdings("gfs", "image", tuple(self.snapshots), tuple(self.archives))

    def day(self, time: dt.datetime) -> None:
        """Take a snapshot and back it up."""
        self.taken += 1
        self.snapshots.append(Snapshot(self.taken, snapshot_name("gfs", time), FULL))
        for export in plan_backup(self.holdings(), lambda _snapshot: False).exports:
            self.publish(state_of(export.to), state_of(export.base) if export.base else None, DIFF)

    def monday(self, time: dt.datetime) -> ConsolidationPlan:
        """Consolidate."""
        plan = plan_consolidation(self.holdings(), POLICY, time, lambda _snapshot: False)
        for remake in plan.remakes:
            self.publish(remake.to, remake.base, remake.stored_bytes)
        self.archives = [archive for archive in self.archives if archive not in plan.remove_archives]
        self.snapshots = [snapshot for snapshot in self.snapshots if snapshot not in plan.remove_snapshots]
        return plan

    def publish(self, to: State, base: State | None, size: int) -> None:
        """Store an archive; a full takes what the image takes."""
        size = size if base else FULL
        self.archives.append(Archive(f"{to}{base}", to, base, "image", size, "", size, ""))


def simulation() -> str:
    """Return the table: a line for each month's first consolidation, and for those around the outage."""
    volume, lines, month = Volume(), [], 0
    for number in range(DAYS):
        time = FIRST + dt.timedelta(days=number)
        if time.toordinal() in OUTAGE:
            continue
        after_outage = time.toordinal() - 14 <= OUTAGE[-1] < time.toordinal()
        if time.weekday() == 0:
            plan = volume.monday(time - dt.timedelta(hours=15))
            if time.month != month or after_outage:
                lines.append(_line(time, plan, volume))
                month = time.month
        volume.day(time)
    return "\n".join([*_HEAD, *lines]) + "\n"


_COLUMNS = (
    *("Monday", "stay", "go", "daily", "weekly", "monthly"),
    *("oldest (the full)", "made again", "read from Ceph", "peak extra", "on disk"),
)
_HEAD = (f"| {' | '.join(_COLUMNS)} |", "|---|--:|--:|--:|--:|--:|---|--:|--:|--:|--:|")


def _line(time: dt.datetime, plan: ConsolidationPlan, volume: Volume) -> str:
    kept = [verdict for verdict in plan.verdicts if verdict.keep]
    tiers = [sum(reason.startswith(tier) for v in kept for reason in v.reasons) for tier in _TIERS]
    cells = [
        f"{time:%Y-%m-%d}",
        len(kept),
        len(plan.verdicts) - len(kept),
        *tiers,
        f"{kept[0].time:%Y-%m-%d}",
        len(plan.remakes),
        f"{sum(remake.read_from_ceph for remake in plan.remakes)} %",
        f"{plan.extra_bytes} %",
        f"{sum(archive.stored_bytes for archive in volume.archives)} %",
    ]
    return f"| {' | '.join(map(str, cells))} |"


_TIERS = ("daily", "weekly", "monthly")


def main() -> None:
    """Print the table, or put it into the documentation."""
    if sys.argv[1:] == ["--write"]:
        text = DOCUMENT.read_text(encoding="utf-8")
        before, rest = text.split(BEGIN)
        DOCUMENT.write_text(before + BEGIN + simulation() + END + rest.split(END)[1], encoding="utf-8")
    else:
        sys.stdout.write(simulation())


if __name__ == "__main__":
    main()
