# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role rbd_drill, run by ansible-playbook on real file systems, without Ceph."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.tests.integration.processes import eventually
from ansible_collections.rbd_backup.gfs.tests.integration.test_check_filesystem import XFS, in_use
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._actions.backup_of_contents import (
    MIB,
    BackupOfContents,
    ext4,
    image_digest,
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


class Drill:
    """The playbook, with a backup set and a scratch directory of its own."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.backup = BackupOfContents(directory / "backup")
        self.scratch = directory / "scratch"
        self.scratch.mkdir()
        self.tasks = directory / "tasks.yml"
        self.tasks.write_text(TASKS, encoding="utf-8")

    def play(self, *arguments: str, playbook: str = "drill", **variables: t.Any) -> tuple[int, str]:
        running = self.start(*arguments, playbook=playbook, **variables)
        said, _nothing = running.communicate()
        return running.returncode, said

    def start(self, *arguments: str, playbook: str = "drill", **variables: t.Any) -> subprocess.Popen[str]:
        """Begin to play, in a process that can be killed."""
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
        return subprocess.Popen(
            [program, "-i", "localhost,", f"rbd_backup.gfs.{playbook}", "-e", json.dumps(given), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
        )


def summary(said: str) -> dict[str, t.Any]:
    """What the task that shows the summary printed."""
    shown = said[said.index("TASK [rbd_backup.gfs.rbd_common : Show what was done]") :]
    content: dict[str, t.Any] = json.JSONDecoder().raw_decode(shown[shown.index("{") :])[0]["msg"]
    return content


@pytest.fixture
def drill(tmp_path: pathlib.Path) -> Drill:
    return Drill(tmp_path)


def test_a_drill_restores_checks_reports_and_leaves_nothing(drill: Drill, tmp_path: pathlib.Path) -> None:
    good = ext4(tmp_path, {"known.txt": b"known"})
    drill.backup.add("data-0", [ext4(tmp_path, {"old": b"old"}), good])
    drill.backup.add("data-1", [bytes(MIB), good], users=())
    entries = [{"namespace": "shop", "workload": "statefulset/db"}, {"namespace": "shop", "claim": "data-1"}]
    code, said = drill.play(rbd_drill_volumes=entries, rbd_drill_tasks=str(drill.tasks))
    assert code == 0, said
    report = summary(said)
    assert report["problems"] == []
    first, other = report["volumes"]
    assert (other["claim"], other["good"]) == ("data-1", True)
    digest = image_digest(good)
    assert {**first, "seconds": 0, "message": ""} == {
        "namespace": "shop",
        "claim": "data-0",
        "image_id": "iddata0",
        "restore_point": samples.snapshot(2),
        "size": len(good),
        "seconds": 0,
        "image_digest": digest,
        "image_digest_on_record": None,
        "image_digest_recorded": True,
        "filesystem": "ext4",
        "checked": True,
        "clean": True,
        "message": "",
        "good": True,
    }
    assert first["seconds"] > 0
    code, said = drill.play(rbd_drill_volumes=entries)
    assert [one["image_digest_on_record"] for one in summary(said)["volumes"]] == [digest, digest]
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


def test_a_task_that_fails_is_the_failure_of_each_volume_and_nothing_is_left(
    drill: Drill, tmp_path: pathlib.Path
) -> None:
    entries = [{"namespace": "shop", "claim": claim} for claim in ("data-0", "data-1")]
    for entry in entries:
        drill.backup.add(entry["claim"], [ext4(tmp_path, {"known.txt": b"known"})])
    drill.tasks.write_text("- ansible.builtin.fail:\n    msg: not as it should be\n", encoding="utf-8")
    code, said = drill.play(rbd_drill_volumes=entries, rbd_drill_tasks=str(drill.tasks))
    assert code == 2, said
    report = summary(said)
    assert [(one["clean"], one["good"]) for one in report["volumes"]] == [(True, False)] * 2
    assert [one.split()[0] for one in report["problems"]] == ["shop/data-0", "shop/data-1"]
    assert said.index("The drill has failed") < said.rindex("not as it should be")
    assert list(drill.scratch.iterdir()) == []


@pytest.mark.parametrize("content", ["{{{", "- a: b\n  c: d\n"])
def test_a_task_file_that_cannot_be_loaded_ends_the_drill_before_anything_is_restored(
    drill: Drill, tmp_path: pathlib.Path, content: str
) -> None:
    drill.backup.add("data-0", [ext4(tmp_path, {"known.txt": b"known"})])
    drill.tasks.write_text(content, encoding="utf-8")
    code, said = drill.play(
        rbd_drill_volumes=[{"namespace": "shop", "claim": "data-0"}], rbd_drill_tasks=str(drill.tasks)
    )
    assert code == 4, said
    assert "Restore into the scratch directory" not in said
    assert list(drill.scratch.iterdir()) == []


def test_a_task_file_that_is_not_there_is_told_before_anything_is_restored(drill: Drill) -> None:
    code, said = drill.play(rbd_drill_volumes=[], rbd_drill_tasks="/nowhere.yml")
    assert code == 2, said
    assert "there is no such file. Nothing was restored" in said


def test_what_a_killed_drill_leaves_is_removed_by_the_next_one_and_nothing_else(
    drill: Drill, tmp_path: pathlib.Path
) -> None:
    drill.backup.add("data-0", [ext4(tmp_path, {"known.txt": b"known"})])
    entries = {"rbd_drill_volumes": [{"namespace": "shop", "claim": "data-0"}]}
    reached, others = tmp_path / "reached", ("rbd-drill-of-mine", "rbd-drill-x1", "data")
    for name in others:
        (drill.scratch / name).mkdir()
    drill.tasks.write_text(
        "- ansible.builtin.shell: touch $0; while [ -e $0 ]; do sleep 0.1; done\n".replace(
            "$0", str(reached)
        ),
        encoding="utf-8",
    )
    running = drill.start(**entries, rbd_drill_tasks=str(drill.tasks))
    eventually(reached.exists)
    made = {path.name for path in drill.scratch.iterdir()} - set(others)
    assert len(made) == 2

    code, said = drill.play(**entries)
    assert code == 0, said
    assert {path.name for path in drill.scratch.iterdir()} == {*made, *others}, "its maker is alive"

    running.kill()
    running.wait()
    reached.unlink()
    code, said = drill.play("--check", **entries)
    assert code == 0, said
    assert {path.name for path in drill.scratch.iterdir()} == {*made, *others}
    code, said = drill.play(**entries)
    assert code == 0, said
    assert {path.name for path in drill.scratch.iterdir()} == set(others)
    assert f"{drill.scratch}/rbd-drill-x1 looks like what a drill has left" in " ".join(said.split())


def test_an_xfs_that_was_in_use_is_judged_or_is_said_not_to_be(drill: Drill, tmp_path: pathlib.Path) -> None:
    path = in_use(tmp_path, *XFS)
    drill.backup.add("data-0", [path.read_bytes()])
    entries = [{"namespace": "shop", "claim": "data-0"}]
    code, said = drill.play(rbd_drill_volumes=entries)
    assert code == 0, said
    assert '"clean": true' in said
    code, said = drill.play(rbd_drill_volumes=entries, rbd_drill_mount=False)
    assert code == 0, said
    assert '"checked": false' in said
    assert '"clean": null' in said
    assert "[WARNING]" in said
    assert list(drill.scratch.iterdir()) == []


def test_the_playbook_restores_a_workload_into_raw_files_without_ceph(
    drill: Drill, tmp_path: pathlib.Path
) -> None:
    drill.backup.add("data-0", [bytes(MIB) + b"0" * 4096])
    drill.backup.add("data-1", [bytes(MIB) + b"1" * 4096])
    code, said = drill.play(
        playbook="restore",
        rbd_restore_namespace="shop",
        rbd_restore_workload="statefulset/db",
        rbd_restore_target={"raw": str(drill.scratch / "{claim}.raw")},
    )
    assert code == 0, said
    for number in (0, 1):
        assert f'"raw": "{drill.scratch}/data-{number}.raw"' in said
        assert (drill.scratch / f"data-{number}.raw").read_bytes() == bytes(MIB) + b"%d" % number * 4096
    assert '"chain"' not in said
