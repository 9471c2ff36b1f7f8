# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recorded objects for the tests of resolution."""

from __future__ import annotations

import pytest

from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._kubernetes.recorded import Recorded


@pytest.fixture
def recorded() -> Recorded:
    """A cluster to be filled."""
    return Recorded()
