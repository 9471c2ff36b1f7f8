# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unused volumes of a backup set, without Ceph."""

from __future__ import annotations

import pathlib
import types
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.pacing import RemovalPace
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.unused_volumes import (
    choose_unused,
    find_unused,
    remove_unused,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.proof import (
    Pin,
    load_proof,
    save_proof,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import (
    ArchiveError,
    BackupError,
    InvalidInput,
    NotFound,
)
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
    assert choose_unused(backup.set, [item], [item.directory.path], True) == [item]
    relative = str(directory.relative_to(backup.set.path))
    assert choose_unused(backup.set, [item], [relative, item.directory.path], True) == [item]
    proof = load_proof(str(directory))
    proof.pins[samples.snapshot(1)] = Pin(samples.snapshot(1), "court case", samples.NOON)
    save_proof(str(directory), proof)
    before = sorted(path.name for path in directory.iterdir())
    with pytest.raises(InvalidInput, match="court case"):
        remove_unused(item, t.cast(t.Any, _Means()), check_mode)
    assert sorted({path.name for path in directory.iterdir()} - {".lock"}) == sorted(set(before) - {".lock"})
    assert not item.removed


class _WithoutImage:
    """The image of the volume is gone from Ceph."""

    def identity(self, spec: object) -> None:
        raise NotFound(f"no {spec}")


def _means() -> t.Any:
    pace = RemovalPace(None, 1.0, 0, lambda: 0)
    return types.SimpleNamespace(
        options={"prefix": samples.PREFIX}, ceph=_WithoutImage(), now=samples.NOON, pace=pace
    )


def test_a_directory_that_holds_something_else_is_not_made_nobody_s(tmp_path: pathlib.Path) -> None:
    backup = BackupOfContents(tmp_path / "backup")
    directory = backup.add("data-0", [bytes(4096)])
    (item,) = find_unused(backup.set, backup.set.scan(), ())
    notes = directory / "other-20260101T160000Z.full.zst"
    notes.write_text("an archive of another prefix")
    for check_mode in (True, False):
        with pytest.raises(BackupError, match=notes.name):
            remove_unused(item, _means(), check_mode)
    assert (directory / f"{samples.snapshot(1)}.full.zst").exists()
    assert not item.removed
    notes.unlink()
    (directory / f".tmp-1-{16 * '0'}-x").touch()
    remove_unused(item, _means(), check_mode=True)
    assert (directory / f"{samples.snapshot(1)}.full.zst").exists()
    (item,) = find_unused(backup.set, backup.set.scan(), ())
    remove_unused(item, _means(), check_mode=False)
    assert item.remove_archives == [f"{samples.snapshot(1)}.full.zst"]
    assert [path.name for path in directory.iterdir()] == [".lock"]
    assert backup.set.scan().problems == ()


def test_a_volume_that_another_run_has_removed_leaves_no_trace(tmp_path: pathlib.Path) -> None:
    backup = BackupOfContents(tmp_path / "backup")
    directory = backup.add("data-0", [bytes(4096)])
    (item,), (late,) = (find_unused(backup.set, backup.set.scan(), ()) for _run in range(2))
    remove_unused(item, _means(), check_mode=False)
    with pytest.raises(ArchiveError, match=r"volume\.json"):
        remove_unused(late, _means(), check_mode=False)
    assert [path.name for path in directory.iterdir()] == [".lock"]
