# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Consolidating one volume, as far as nothing is asked of Ceph."""

from __future__ import annotations

import pathlib
import types
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.census import Seen
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.consolidate_volume import (
    VolumeConsolidation,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.consolidated import Means
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.pacing import RemovalPace
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.room import Room
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.backup_set import BackupSet
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.lock import VolumeLock
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.set_record import Consolidated
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Volume
from ansible_collections.rbd_backup.gfs.plugins.module_utils._retention import Policy
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._actions.backup_of_contents import (
    BackupOfContents,
)
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._archive import (
    archive_samples as samples,
)

OPTIONS: t.Mapping[str, t.Any] = {
    "prefix": samples.PREFIX,
    "method": "reexport",
    "compression": "zstd",
    "compression_level": None,
    "compression_threads": None,
    "remove_unarchived": False,
    "remove_without_snapshot": False,
    "accept_policy_change": False,
    "minimum_kept_share": 70,
    "accept_lost_newest": False,
}


def consolidation(backup: BackupOfContents, check_mode: bool) -> tuple[VolumeConsolidation, Volume]:
    """A consolidation of the only volume of *backup*, whose snapshots are all gone from Ceph."""
    backup_set = BackupSet.open(backup.set.path)
    (directory,) = backup_set.scan().volumes
    seen = Seen(directory.identity, 4096, ())
    environment: t.Any = types.SimpleNamespace(
        options=OPTIONS, check_mode=check_mode, time=lambda: samples.NOON
    )
    census: t.Any = types.SimpleNamespace(look=lambda _volume: seen)
    ceph: t.Any = None
    means = Means(ceph, OPTIONS, samples.NOON, RemovalPace(None, 1.0, 0, lambda: 0), Room())
    policy = Policy.from_options({"daily": 5, "timezone": "UTC"})
    work = VolumeConsolidation(environment, backup_set, backup_set.scan(), policy, means, census)
    return work, Volume("shop", "data-0", samples.SPEC, directory.identity)


@pytest.mark.parametrize("check_mode", [True, False])
def test_what_a_dead_run_left_goes_also_where_a_guard_refuses_and_the_preview_says_so(
    tmp_path: pathlib.Path, check_mode: bool
) -> None:
    backup = BackupOfContents(tmp_path / "backup")
    directory = backup.add("data-0", [bytes(4096)])
    key = str(directory.relative_to(backup.set.path))
    before = Policy.from_options({"daily": 7, "timezone": "UTC"}).to_dict()
    backup.set.record_consolidation({key: Consolidated(samples.NOON, before, 1)}, "UTC")
    temporary = directory / f".tmp-1-{16 * '0'}-x"
    temporary.touch()
    work, volume = consolidation(backup, check_mode)
    done = work(volume)
    assert "policy differs" in str(done.error)
    assert done.changed
    assert temporary.exists() is check_mode
    assert work(volume).changed is check_mode


def test_what_a_run_is_writing_is_not_left_by_a_dead_one(tmp_path: pathlib.Path) -> None:
    backup = BackupOfContents(tmp_path / "backup")
    directory = backup.add("data-0", [bytes(4096)])
    (directory / f".tmp-1-{16 * '0'}-x").touch()
    work, volume = consolidation(backup, check_mode=True)
    with VolumeLock(str(directory)):
        done = work(volume)
    assert "in use by another run" in str(done.error)
    assert not done.changed
    assert work(volume).changed
