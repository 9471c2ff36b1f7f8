# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a backup set is."""

from __future__ import annotations

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.backup_set import set_path
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import InvalidInput


def test_below_the_root_under_the_name_of_the_cluster() -> None:
    assert set_path({"root": "/srv/backup", "cluster": "prod-1"}) == "/srv/backup/prod-1"


@pytest.mark.parametrize("root", ["", ".", "backup", "$UNSET/backup"])
def test_never_where_the_run_happens_to_be_started(root: str) -> None:
    with pytest.raises(InvalidInput, match="absolute"):
        set_path({"root": root, "cluster": "prod"})


@pytest.mark.parametrize("cluster", ["", ".", "..", "a/b", "a\0b"])
def test_the_name_of_a_cluster_leads_nowhere_else(cluster: str) -> None:
    with pytest.raises(InvalidInput, match="cluster name"):
        set_path({"root": "/srv/backup", "cluster": cluster})
