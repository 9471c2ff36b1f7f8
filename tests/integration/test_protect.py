# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rbd_protect: what a user protects stays, and says why, until the protection is taken off."""

from __future__ import annotations

import os
import signal
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.volume_directory import VolumeDirectory
from ansible_collections.rbd_backup.gfs.tests.integration import history
from ansible_collections.rbd_backup.gfs.tests.integration.history import day, name
from ansible_collections.rbd_backup.gfs.tests.integration.images import Images
from ansible_collections.rbd_backup.gfs.tests.integration.modules import Modules
from ansible_collections.rbd_backup.gfs.tests.integration.test_watching_roles import play


def test_a_protected_restore_point_stays_with_its_reason_until_it_is_unprotected(
    modules: Modules, images: Images
) -> None:
    spec = history.backed_up(images, modules, 4)
    point: dict[str, t.Any] = {"restore_point": name(1), "reason": "before the migration"}
    before = history.files(modules)
    assert modules.protect(**point, check_mode=True)["changed"]
    assert history.files(modules) == before
    assert modules.protect(**point)["changed"]
    assert not modules.protect(**point)["changed"]
    assert not modules.protect(**point, check_mode=True)["changed"]
    assert modules.protect(**{**point, "reason": "for the auditors"})["changed"]

    retention = {"retention": {"daily": 1, "weekly": 0, "monthly": 0}, "time": day(4)}
    result = modules.consolidate([spec], **retention)
    assert "protected: for the auditors" in "\n".join(result["table"])
    assert history.snapshots(images, spec) == [name(1), name(3)]
    history.all_equal(images, modules, spec, [name(1), name(3)])

    for check_mode in (True, False):
        assert modules.protect(restore_point=name(1), state="absent", check_mode=check_mode)["changed"]
    assert not modules.protect(restore_point=name(1), state="absent")["changed"]
    assert modules.consolidate([spec], **retention, minimum_kept_share=50)["changed"]
    assert history.snapshots(images, spec) == [name(3)]


def test_what_is_protected_after_a_consolidation_died_is_not_removed_by_the_next_one(
    modules: Modules, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = history.backed_up(images, modules, 3)
    retention = {"retention": {"daily": 1, "weekly": 0, "monthly": 0}, "time": day(3)}

    def die() -> None:
        # retired are the snapshots by then, and no archive is removed yet
        monkeypatch.setattr(
            VolumeDirectory, "remove_archive", lambda *_args: os.kill(os.getpid(), signal.SIGKILL)
        )

    assert modules.run_and_die(lambda: modules.consolidate([spec], **retention), die)
    assert modules.protect(restore_point=name(1), reason="court case")["changed"]
    result = modules.consolidate([spec], **retention)
    assert "failed" not in result, result
    assert history.snapshots(images, spec) == [name(1), name(2)]
    history.all_equal(images, modules, spec, [name(1), name(2)])


def test_what_cannot_be_protected_is_refused(modules: Modules, images: Images) -> None:
    history.backed_up(images, modules, 1)
    assert "reason" in modules.protect(restore_point="latest")["msg"]
    assert "reason" in modules.protect(restore_point="latest", reason=" ")["msg"]
    assert "no restore point" in modules.protect(restore_point=name(5), reason="r")["msg"]
    assert "no volume of claim" in modules.protect("other", restore_point="latest", reason="r")["msg"]


def test_the_playbook_protects_and_takes_it_back(modules: Modules, images: Images) -> None:
    history.backed_up(images, modules, 2)
    what: dict[str, t.Any] = {
        "rbd_protect_namespace": "shop",
        "rbd_protect_claim": "data-0",
        "rbd_protect_point": name(0),
    }
    code, said = play(modules, "protect", **what)
    assert code == 2, said
    assert "reason is missing" in said
    what["rbd_protect_reason"] = "before the migration"
    assert play(modules, "protect", "--check", **what)[0] == 0
    assert modules.protect(restore_point=name(0), state="absent", check_mode=True)["changed"] is False
    for changed in (1, 0):
        code, said = play(modules, "protect", **what)
        assert code == 0, said
        assert f"changed={changed}" in said
        assert '"reason": "before the migration"' in said
    code, said = play(modules, "protect", rbd_protect_state="absent", **what)
    assert code == 0, said
    assert "changed=1" in said
    assert not modules.protect(restore_point=name(0), state="absent")["changed"]
