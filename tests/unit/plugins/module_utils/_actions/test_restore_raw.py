# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore into raw files, with no Ceph anywhere."""

from __future__ import annotations

import os
import pathlib
import random
import signal
import subprocess
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions import restore_content
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.lock import VolumeLock
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.proof import load_proof, save_proof
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._actions.backup_of_contents import (
    MIB,
    BackupOfContents,
    ext4,
    image_digest,
)
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._actions.restoring import (
    FIRST,
    content,
    run,
    script,
)
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._archive import (
    archive_samples as samples,
)
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils.mounts import memory


@pytest.fixture
def small_disk(tmp_path: pathlib.Path) -> t.Iterator[pathlib.Path]:
    """A file system of 128 KiB."""
    with memory(tmp_path / "small", "128k") as path:
        yield path


def test_every_restore_point_is_what_was_backed_up_and_as_thin(
    backup: BackupOfContents, tmp_path: pathlib.Path
) -> None:
    contents = [content(1), content(2, 6 * MIB), content(3, 2 * MIB)]
    directory = backup.add("data", contents)
    for day, expected in enumerate(contents, start=1):
        raw = tmp_path / f"{day}.raw"
        result = run(backup, raw, claim="data", restore_point=samples.snapshot(day))
        (volume,) = result.values["volumes"]
        assert raw.read_bytes() == expected
        assert os.stat(raw).st_blocks * 512 <= 256 * 1024
        assert os.stat(raw).st_mode & 0o777 == 0o600
        assert volume["image_digest"] == image_digest(expected)
        assert volume["image_digest_recorded"] is (day > 1)
        assert load_proof(str(directory)).image_digest(samples.state(day, len(expected))) == image_digest(
            expected
        )
    assert sorted(path.name for path in tmp_path.glob(".tmp*")) == []


def test_a_preview_proves_the_chain_and_writes_nothing(
    backup: BackupOfContents, tmp_path: pathlib.Path
) -> None:
    directory = backup.add("data", [content(1), content(2)])
    before = {path.name: path.read_bytes() for path in directory.iterdir() if path.name != ".lock"}
    preview = run(backup, tmp_path / "x.raw", claim="data", check_mode=True)
    assert preview.changed
    assert not (tmp_path / "x.raw").exists()
    samples.flip(directory / f"{FIRST}.full.zst", -20)
    failed = run(backup, tmp_path / "x.raw", claim="data", check_mode=True)
    assert "damaged" in failed.failures[0]["message"]
    samples.flip(directory / f"{FIRST}.full.zst", -20)
    assert before == {path.name: path.read_bytes() for path in directory.iterdir() if path.name != ".lock"}


def test_a_volume_that_fails_does_not_stop_the_others(
    backup: BackupOfContents, tmp_path: pathlib.Path
) -> None:
    damaged = backup.add("data-0", [content(1)])
    backup.add("data-1", [content(2)])
    samples.flip(damaged / f"{FIRST}.full.zst", 100)
    outcome = run(backup, tmp_path / "{claim}.raw", workload="statefulset/db")
    assert [volume["claim"] for volume in outcome.values["volumes"]] == ["data-1"]
    assert [failure["claim"] for failure in outcome.failures] == ["data-0"]
    assert [path.name for path in tmp_path.glob("*.raw")] == ["data-1.raw"]


def test_a_file_that_exists_is_never_overwritten(backup: BackupOfContents, tmp_path: pathlib.Path) -> None:
    backup.add("data", [content(1)])
    (tmp_path / "x.raw").write_bytes(b"mine")
    outcome = run(backup, tmp_path / "x.raw", claim="data")
    assert "never overwrites" in outcome.failures[0]["message"]
    assert (tmp_path / "x.raw").read_bytes() == b"mine"
    outcome = run(backup, tmp_path / "nowhere" / "x.raw", claim="data")
    assert "does not exist" in outcome.failures[0]["message"]


def test_a_full_disk_leaves_nothing_and_says_so(
    backup: BackupOfContents, small_disk: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    backup.add("data", [random.Random(1).randbytes(MIB)])
    outcome = run(backup, small_disk / "x.raw", claim="data")
    assert "No space left" in outcome.failures[0]["message"]
    assert list(small_disk.iterdir()) == []


def test_a_kill_in_the_middle_leaves_no_file_of_that_name(
    backup: BackupOfContents, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.add("data", [content(1)])
    monkeypatch.setattr(
        restore_content.Content, "_compare", lambda *_args: os.kill(os.getpid(), signal.SIGKILL)
    )
    child = os.fork()
    if child == 0:
        run(backup, tmp_path / "x.raw", claim="data")
        os._exit(0)
    _pid, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    (left,) = [path.name for path in tmp_path.iterdir() if path.name.endswith(".raw")]
    assert left.startswith(".tmp-")
    monkeypatch.undo()
    run(backup, tmp_path / "x.raw", claim="data")
    assert (tmp_path / "x.raw").read_bytes() == content(1)


def test_a_backup_that_cannot_be_written_to_is_restored_all_the_same(
    backup: BackupOfContents, tmp_path: pathlib.Path
) -> None:
    directory = backup.add("data", [content(1)], digest=False)
    with VolumeLock(str(directory)):
        (volume,) = run(backup, tmp_path / "x.raw", claim="data").values["volumes"]
    assert volume["image_digest_on_record"] is None
    assert not volume["image_digest_recorded"]
    (volume,) = run(backup, tmp_path / "y.raw", claim="data").values["volumes"]
    assert volume["image_digest_recorded"]
    (volume,) = run(backup, tmp_path / "z.raw", claim="data").values["volumes"]
    assert volume["image_digest_on_record"] == volume["image_digest"]
    assert not volume["image_digest_recorded"]


def test_a_damaged_record_of_what_was_proved_hinders_no_restore(
    backup: BackupOfContents, tmp_path: pathlib.Path
) -> None:
    directory = backup.add("data", [content(1), content(2)])
    (directory / "proof.json").write_text("{", encoding="ascii")
    result = run(backup, tmp_path / "x.raw", claim="data")
    assert (tmp_path / "x.raw").read_bytes() == content(2)
    assert not result.failures
    (warning,) = result.warnings
    assert "proof.json is damaged" in warning
    assert "without comparing" in warning
    done = script("restore", directory, "--stdout")
    assert done.stdout == content(2)
    assert b"proof.json is damaged" in done.stderr
    assert b"none on record" in done.stderr


def test_archives_that_lead_elsewhere_than_on_record_restore_nothing(
    backup: BackupOfContents, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = backup.add("data", [content(1), content(2)])
    proof = load_proof(str(directory))
    proof.record_replayed(samples.state(2, 4 * MIB), "0" * 64, samples.NOON)
    save_proof(str(directory), proof)
    outcome = run(backup, tmp_path / "x.raw", claim="data")
    assert "not what was backed up" in outcome.failures[0]["message"]
    assert list(tmp_path.glob("*.raw")) + list(tmp_path.glob(".tmp*")) == []


def test_a_restored_file_system_holds_its_files(backup: BackupOfContents, tmp_path: pathlib.Path) -> None:
    files = {"known.txt": b"known\n" * 5000, "random": random.Random(7).randbytes(300_000)}
    backup.add("data", [ext4(tmp_path, {"old": b"x"}), ext4(tmp_path, files)])
    raw = tmp_path / "x.raw"
    run(backup, raw, claim="data")
    subprocess.run(["e2fsck", "-f", "-n", str(raw)], check=True, capture_output=True)
    for name, expected in files.items():
        done = subprocess.run(["debugfs", "-R", f"cat {name}", str(raw)], check=True, capture_output=True)
        assert done.stdout == expected
