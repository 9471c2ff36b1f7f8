# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role rbd_drill, run by ansible-playbook, and the check of file systems: real ones, and no Ceph."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions import check_filesystem
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.environment import Environment, Outcome
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import InvalidInput
from ansible_collections.rbd_backup.gfs.plugins.module_utils._file_system import HEAD, identify
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._actions.backup_of_contents import (
    MIB,
    BackupOfContents,
    ext4,
)
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._archive import (
    archive_samples as samples,
)

TASKS = """
- name: Look into it
  ansible.builtin.command:
    argv: [debugfs, -R, cat known.txt, "{{ rbd_drill_file }}"]
  changed_when: false
  register: looked
- name: It is there
  ansible.builtin.assert:
    that: looked.stdout == 'known'
"""


def check(path: pathlib.Path, check_mode: bool = False) -> Outcome:
    return check_filesystem.run(Environment({"path": str(path)}, check_mode))


def made(tmp_path: pathlib.Path, size: int, *command: str) -> pathlib.Path:
    path = tmp_path / "x.raw"
    with open(path, "wb") as file:
        file.truncate(size)
    subprocess.run([*command, str(path)], check=True, capture_output=True)
    return path


@pytest.mark.parametrize("kind", ["ext2", "ext3", "ext4"])
def test_ext_is_told_and_checked(tmp_path: pathlib.Path, kind: str) -> None:
    path = made(tmp_path, 8 * MIB, "mke2fs", "-q", "-t", kind)
    before = path.read_bytes()
    outcome = check(path)
    assert outcome.values["filesystem"] == kind
    assert outcome.values["clean"] is True
    assert not outcome.changed
    assert path.read_bytes() == before


def test_a_damaged_ext4_is_a_failure(tmp_path: pathlib.Path) -> None:
    path = made(tmp_path, 8 * MIB, "mke2fs", "-q", "-t", "ext4")
    subprocess.run(["debugfs", "-w", "-R", "clri <2>", str(path)], check=True, capture_output=True)
    outcome = check(path)
    assert outcome.values["clean"] is False
    assert "damaged" in str(outcome.fatal)


def test_a_journal_is_replayed_before_the_check(tmp_path: pathlib.Path) -> None:
    path = made(tmp_path, 8 * MIB, "mke2fs", "-q", "-t", "ext4")
    # a journal with a transaction that was never brought to its place, as in a snapshot of a mounted file system
    journal = "jo\njw -b 600 /dev/zero\njc\n"
    subprocess.run(["debugfs", "-w", str(path)], input=journal.encode(), check=True, capture_output=True)
    found = identify(path.read_bytes()[:HEAD])
    assert found is not None
    assert found.needs_replay
    outcome = check(path)
    assert outcome.changed
    assert outcome.values["clean"] is True
    assert not check(path).changed


def test_xfs_is_told_and_checked(tmp_path: pathlib.Path) -> None:
    path = made(tmp_path, 320 * MIB, "mkfs.xfs", "-q")
    assert check(path).values["clean"] is True
    assert check(path).values["filesystem"] == "xfs"
    content = bytearray(path.read_bytes()[:4096])
    content[512:600] = bytes(88)  # the header of the free space of the first group
    with open(path, "r+b") as file:
        file.write(content)
    damaged = check(path)
    assert damaged.values["clean"] is False
    assert "damaged" in str(damaged.fatal)


@pytest.mark.parametrize(
    ("offset", "magic", "name"),
    [(0, b"LUKS\xba\xbe", "luks"), (0x1FE, b"\x55\xaa", "partition table"), (0, b"", None)],
)
def test_anything_else_is_reported_as_not_checked(
    tmp_path: pathlib.Path, offset: int, magic: bytes, name: str | None
) -> None:
    path = tmp_path / "x.raw"
    path.write_bytes(bytes(offset) + magic + bytes(MIB))
    outcome = check(path)
    assert outcome.fatal is None
    assert (outcome.values["filesystem"], outcome.values["checked"], outcome.values["clean"]) == (
        name,
        False,
        None,
    )


def test_a_missing_program_is_named(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = made(tmp_path, 8 * MIB, "mke2fs", "-q", "-t", "ext4")
    assert not check(path, check_mode=True).values["checked"]
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(check_filesystem, "_PLACES", str(tmp_path))
    with pytest.raises(InvalidInput, match="Install the package e2fsprogs"):
        check(path)


class Drill:
    """The playbook, with a backup set and a scratch directory of its own."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.backup = BackupOfContents(directory / "backup")
        self.scratch = directory / "scratch"
        self.scratch.mkdir()
        self.tasks = directory / "tasks.yml"
        self.tasks.write_text(TASKS, encoding="utf-8")

    def play(self, *arguments: str, playbook: str = "drill", **variables: t.Any) -> tuple[int, str]:
        given = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "rbd_backup_root": str(self.backup.root),
            "rbd_backup_cluster": "lab",
            "rbd_drill_scratch": str(self.scratch),
            **variables,
        }
        program = shutil.which("ansible-playbook")
        assert program
        done = subprocess.run(
            [program, "-i", "localhost,", f"rbd_backup.gfs.{playbook}", "-e", json.dumps(given), *arguments],
            check=False,
            capture_output=True,
            text=True,
            env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
        )
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def drill(tmp_path: pathlib.Path) -> Drill:
    return Drill(tmp_path)


def test_a_drill_restores_checks_reports_and_leaves_nothing(drill: Drill, tmp_path: pathlib.Path) -> None:
    good = ext4(tmp_path, {"known.txt": b"known"})
    drill.backup.add("data-0", [ext4(tmp_path, {"old": b"old"}), good])
    drill.backup.add("data-1", [bytes(MIB), good], users=())
    entries = [{"namespace": "shop", "workload": "StatefulSet/db"}, {"namespace": "shop", "claim": "data-1"}]
    code, said = drill.play(rbd_drill_volumes=entries, rbd_drill_tasks=str(drill.tasks))
    assert code == 0, said
    assert said.count('"filesystem": "ext4"') == 2
    assert said.count('"clean": true') == 2
    assert list(drill.scratch.iterdir()) == []
    code, said = drill.play("--check", rbd_drill_volumes=entries)
    assert code == 0, said
    assert list(drill.scratch.iterdir()) == []


def test_what_fails_in_a_drill_does_not_stop_the_rest(drill: Drill, tmp_path: pathlib.Path) -> None:
    good = ext4(tmp_path, {"known.txt": b"known"})
    broken = drill.backup.add("broken", [good])
    samples.flip(broken / f"{samples.snapshot(1)}.full.zst", 500)
    drill.backup.add("wrong", [ext4(tmp_path, {"known.txt": b"other"})])
    drill.backup.add("good", [good])
    entries = [{"namespace": "shop", "claim": claim} for claim in ("broken", "nothing", "wrong", "good")]
    code, said = drill.play(rbd_drill_volumes=entries, rbd_drill_tasks=str(drill.tasks))
    assert code == 2, said
    verdict = said[said.index("The drill has failed") :]
    for word in ("is damaged", "no volume of claim shop/nothing", "shop/wrong"):
        assert word in verdict
    assert "shop/good" not in verdict
    assert '"claim": "good"' in said
    assert list(drill.scratch.iterdir()) == []


def test_the_playbook_restores_a_workload_into_raw_files_without_ceph(
    drill: Drill, tmp_path: pathlib.Path
) -> None:
    drill.backup.add("data-0", [bytes(MIB) + b"0" * 4096])
    drill.backup.add("data-1", [bytes(MIB) + b"1" * 4096])
    code, said = drill.play(
        playbook="restore",
        rbd_restore_namespace="shop",
        rbd_restore_workload="StatefulSet/db",
        rbd_restore_target={"raw": str(drill.scratch / "{claim}.raw")},
    )
    assert code == 0, said
    for number in (0, 1):
        assert f'"raw": "{drill.scratch}/data-{number}.raw"' in said
        assert (drill.scratch / f"data-{number}.raw").read_bytes() == bytes(MIB) + b"%d" % number * 4096
    assert '"chain"' not in said
