# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore points whose archives are joined by name alone: what verification, restore and script say of them."""

from __future__ import annotations

import pathlib
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.subjects import Subject
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.verification import Verification
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.proof import load_proof, save_proof
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.volume_directory import VolumeDirectory
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._actions.backup_of_contents import (
    BackupOfContents,
    image_digest,
    rebuild,
)
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._actions.restoring import (
    FIRST,
    SECOND,
    content,
    run,
    script,
)
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._archive import (
    archive_samples as samples,
)


@pytest.fixture
def rebuilt(backup: BackupOfContents) -> pathlib.Path:
    """The directory of a volume with a full and a diff, whose manifests were rebuilt."""
    directory = backup.add("data", [content(1), content(2)])
    rebuild(directory)
    return directory


def test_a_preview_does_not_fail_for_what_is_going_to_be_compared_with_ceph(rebuilt: pathlib.Path) -> None:
    directory = VolumeDirectory.read(str(rebuilt))
    item = Verification.begin(Subject(samples.VOLUME, directory), directory, samples.PREFIX)
    item.choose_everything()
    assert item.unproved() == {SECOND: (FIRST,)}
    item.live[SECOND] = t.cast(t.Any, "its snapshot")
    assert item.unproved() == {}


def test_the_script_lists_refuses_and_restores_it_as_the_module_does(
    backup: BackupOfContents, rebuilt: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    listed = script("list", rebuilt).stdout.decode().splitlines()
    assert [line.split()[0] for line in listed if "--accept-unproved is needed" in line] == [SECOND]
    refused = script("restore", rebuilt, "--raw", tmp_path / "x.raw")
    assert refused.returncode == 1
    (failure,) = run(backup, tmp_path / "x.raw", claim="data").failures or ()
    words = f"is unproved: at {FIRST} nothing but the name"
    assert words in refused.stderr.decode()
    assert words in failure["message"]
    assert script("restore", rebuilt, "--raw", tmp_path / "1.raw", "--accept-unproved").returncode == 0
    (result,) = run(backup, tmp_path / "2.raw", claim="data", accept_unproved=True).values["volumes"]
    assert (tmp_path / "1.raw").read_bytes() == (tmp_path / "2.raw").read_bytes() == content(2)
    assert (result["unproved_joins"], result["image_digest_recorded"]) == ([FIRST], False)
    assert load_proof(str(rebuilt)).replayed == {}


@pytest.mark.parametrize("known", ["digest", "compared"])
def test_what_was_known_before_proves_it_for_module_and_script(
    backup: BackupOfContents, rebuilt: pathlib.Path, tmp_path: pathlib.Path, known: str
) -> None:
    proof = load_proof(str(rebuilt))
    archives = VolumeDirectory.read(str(rebuilt)).archives(samples.PREFIX).archives
    for day in (1, 2):
        if known == "digest":
            state = samples.state(day, len(content(day)))
            proof.record_replayed(state, image_digest(content(day)), samples.NOON)
        else:
            proof.record_compared(archives[:day], 100 + day, samples.NOON)
    save_proof(str(rebuilt), proof)
    assert b"unproved" not in script("list", rebuilt).stdout
    assert script("restore", rebuilt, "--raw", tmp_path / "1.raw").returncode == 0
    (result,) = run(backup, tmp_path / "2.raw", claim="data").values["volumes"]
    assert result["unproved_joins"] == []
