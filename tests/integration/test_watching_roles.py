# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks info and verify as a monitoring runs them: what they print, and when they fail."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t

from ansible_collections.rbd_backup.gfs.tests.integration import history
from ansible_collections.rbd_backup.gfs.tests.integration.conftest import Lab
from ansible_collections.rbd_backup.gfs.tests.integration.history import day, name
from ansible_collections.rbd_backup.gfs.tests.integration.images import Images
from ansible_collections.rbd_backup.gfs.tests.integration.modules import Modules


def play(modules: Modules, playbook: str, *arguments: str, **variables: t.Any) -> tuple[int, str]:
    settings = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "rbd_backup_root": str(modules.root),
        "rbd_backup_cluster": "lab",
        **variables,
    }
    command = ["ansible-playbook", "-i", "localhost,", f"rbd_backup.gfs.{playbook}", *arguments]
    done = subprocess.run(
        [*command, "--extra-vars", json.dumps(settings)],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
    )
    return done.returncode, done.stdout + done.stderr


def test_the_playbooks_show_the_table_and_fail_as_monitoring_needs(modules: Modules, images: Images) -> None:
    history.backed_up(images, modules, 2)
    code, said = play(modules, "info", rbd_info_offline=True, rbd_info_time=day(1))
    assert code == 0, said
    assert name(1) in said
    code, said = play(modules, "info", rbd_info_offline=True)
    assert code == 2, said
    assert "Overdue, no restore point of the last 26 hours: shop/data-0" in said
    assert "Unknown error" not in said
    assert play(modules, "info", rbd_info_offline=True, rbd_info_fail_on_overdue=False)[0] == 0
    nowhere = [{"namespace": "no-such-namespace-of-verify", "deployments": ["web"]}]
    code, said = play(
        modules,
        "info",
        rbd_backup_workloads=nowhere,
        rbd_backup_storage_classes=["rook-ceph-block"],
        rbd_backup_ceph={key: value for key, value in modules.ceph.items() if value is not None},
        rbd_info_time=day(1),
    )
    assert code == 2, said
    assert "no-such-namespace-of-verify" in said
    assert name(1) in said
    assert "orphan" not in said.replace("'orphans': 0", "").replace('"orphans": 0', "")
    code, said = play(modules, "verify", "--check")
    assert code == 0, said
    assert "planned" in said
    code, said = play(modules, "verify", rbd_verify_mode="sample", rbd_verify_sample_days=1)
    assert code == 0, said
    assert "proved" in said
    code, said = play(
        modules, "verify", rbd_verify_mode="deep", rbd_backup_ceph={"user": modules.ceph["user"]}
    )
    assert code == 0, said
    assert "equal to its live snapshot" in said
    (history.volume_directory(modules) / f"{name(0)}.full.zst").unlink()
    code, said = play(modules, "verify")
    assert code == 2, said
    assert "is missing, its manifest is there" in said


def test_a_number_that_is_0_is_not_taken_for_none(modules: Modules, images: Images, lab: Lab) -> None:
    history.live(images, modules, images.create(history.SIZE), range(1))
    code, said = play(modules, "verify", rbd_verify_mode="sample", rbd_verify_sample_share=0)
    assert code == 2, said
    assert "sample_share is 0" in said
    code, said = play(
        modules,
        "consolidate",
        rbd_backup_kubernetes={"kubeconfig": lab.kubeconfig},
        rbd_backup_workloads=[{"namespace": "default", "deployments": "all"}],
        rbd_backup_storage_classes=["rook-ceph-block"],
        rbd_backup_ceph={key: value for key, value in modules.ceph.items() if value is not None},
        rbd_consolidate_max_snapshot_removals=0,
    )
    assert code == 2, said
    assert "max_snapshot_removals is 0" in said
