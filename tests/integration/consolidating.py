# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Consolidations of four days of history down to the last one."""

from __future__ import annotations

import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec
from ansible_collections.rbd_backup.gfs.tests.integration.history import day
from ansible_collections.rbd_backup.gfs.tests.integration.modules import Modules

RETENTION = {"daily": 1, "weekly": 0, "monthly": 0}


def run(modules: Modules, *specs: ImageSpec, **options: t.Any) -> dict[str, t.Any]:
    """Consolidate the images, the day after the last of their four snapshots."""
    return modules.consolidate(specs, **{"retention": RETENTION, "time": day(4), **options})
