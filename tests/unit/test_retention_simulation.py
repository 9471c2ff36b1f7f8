# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two years in docs/retention.md are what the code makes of them today."""

from __future__ import annotations

from ansible_collections.rbd_backup.gfs.tests.tools.retention_simulation import (
    BEGIN,
    DOCUMENT,
    END,
    simulation,
)


def test_the_documentation_shows_what_the_simulation_prints() -> None:
    documented = DOCUMENT.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0]
    assert documented == simulation(), "run python tests/tools/retention_simulation.py --write"
