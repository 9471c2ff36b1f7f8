# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Protection of restore points, without Ceph."""

from __future__ import annotations

import pathlib

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions import protect
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.environment import Environment
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.lock import VolumeLock
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.proof import load_proof, save_proof
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import ArchiveError
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._actions.backup_of_contents import (
    BackupOfContents,
)
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._archive import (
    archive_samples as samples,
)


def test_a_restore_point_that_goes_before_the_lock_is_not_called_protected(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = BackupOfContents(tmp_path / "backup")
    directory = backup.add("data", [bytes(4096), b"x" * 4096])
    last = samples.snapshot(2)

    class Late(VolumeLock):
        def __enter__(self) -> VolumeLock:
            (directory / f"{last}.from-{samples.snapshot(1)}.diff.zst.json").unlink()
            return super().__enter__()

    monkeypatch.setattr(protect, "VolumeLock", Late)
    with pytest.raises(ArchiveError, match=last):
        protect.run(environment(backup, last))
    assert not load_proof(str(directory)).pins


def environment(backup: BackupOfContents, point: str) -> Environment:
    return Environment(
        {
            "root": str(backup.root),
            "cluster": "lab",
            "prefix": None,
            "namespace": "shop",
            "claim": "data",
            "image_id": None,
            "restore_point": point,
            "reason": "court case",
            "state": "present",
        }
    )


def test_a_restore_point_whose_removal_was_begun_and_is_whole_yet_is_taken_back(
    tmp_path: pathlib.Path,
) -> None:
    backup = BackupOfContents(tmp_path / "backup")
    directory = str(backup.add("data", [bytes(4096), b"x" * 4096]))
    proof = load_proof(directory)
    for day in (1, 2):
        state = samples.state(day)
        assert state.snapshot_id is not None
        proof.retire(state.snapshot, state.snapshot_id, samples.NOON)
    save_proof(directory, proof)
    assert protect.run(environment(backup, samples.snapshot(1))).changed
    after = load_proof(directory)
    assert [entry.snapshot for entry in after.retired.values()] == [samples.snapshot(2)]
    assert list(after.pins) == [samples.snapshot(1)]
