# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unused volumes of a backup set, without Ceph."""

from __future__ import annotations

import pathlib
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.unused_volumes import (
    check_removable,
    find_unused,
    remove_unused,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.proof import (
    Pin,
    load_proof,
    save_proof,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import InvalidInput
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._actions.backup_of_contents import (
    BackupOfContents,
)
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._archive import (
    archive_samples as samples,
)


def test_an_unused_volume_that_cannot_be_listed_stops_nothing_else(tmp_path: pathlib.Path) -> None:
    backup = BackupOfContents(tmp_path / "backup")
    directory = backup.add("data-0", [bytes(4096)])
    backup.add("data-1", [bytes(4096)])
    # nobody can say what this is
    manifest = directory / f"{samples.snapshot(1)}.full.zst.json"
    manifest.unlink()
    manifest.mkdir()
    broken, good = find_unused(backup.set, backup.set.scan(), ())
    assert (broken.archives, broken.stored_bytes) == (None, None)
    assert "not a regular file" in str(broken.error)
    assert broken.to_dict()["claim"] == "data-0"
    assert (good.archives, good.error) == (1, None)


class _Means:
    """Fault injection: whoever asks Ceph has gone too far."""

    options: t.Mapping[str, t.Any] = {"prefix": samples.PREFIX}

    @property
    def ceph(self) -> t.Any:
        return None


@pytest.mark.parametrize("check_mode", [True, False])
def test_a_restore_point_that_is_protected_in_the_meantime_stays(
    tmp_path: pathlib.Path, check_mode: bool
) -> None:
    backup = BackupOfContents(tmp_path / "backup")
    directory = backup.add("data-0", [bytes(4096)])
    (item,) = find_unused(backup.set, backup.set.scan(), ())
    check_removable([item], [item.key], True)
    proof = load_proof(str(directory))
    proof.pins[samples.snapshot(1)] = Pin(samples.snapshot(1), "court case", samples.NOON)
    save_proof(str(directory), proof)
    before = sorted(path.name for path in directory.iterdir())
    with pytest.raises(InvalidInput, match="court case"):
        remove_unused(item, t.cast(t.Any, _Means()), check_mode)
    assert sorted({path.name for path in directory.iterdir()} - {".lock"}) == sorted(set(before) - {".lock"})
    assert not item.removed
