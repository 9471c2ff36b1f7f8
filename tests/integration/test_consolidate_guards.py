# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""gfs_consolidate removes nothing while a guard stands in the way; the way around each has to be asked for."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.commands import Commands
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec
from ansible_collections.rbd_backup.gfs.tests.integration import history
from ansible_collections.rbd_backup.gfs.tests.integration.consolidating import run
from ansible_collections.rbd_backup.gfs.tests.integration.history import day, name
from ansible_collections.rbd_backup.gfs.tests.integration.images import Images
from ansible_collections.rbd_backup.gfs.tests.integration.modules import Modules


@pytest.fixture
def spec(modules: Modules, images: Images) -> ImageSpec:
    """An image with four days of history, all backed up."""
    return history.backed_up(images, modules, 4)


def test_the_failure_of_one_volume_does_not_disarm_the_guards_of_another(
    modules: Modules, images: Images, spec: ImageSpec
) -> None:
    absent = images.name()
    first = modules.consolidate(
        [spec, absent], retention={"daily": 4, "weekly": 0, "monthly": 0}, time=day(4)
    )
    assert [item["image"] for item in first["failures"]] == [str(absent)]
    second = modules.consolidate(
        [spec, absent], retention={"daily": 1, "weekly": 0, "monthly": 0}, time=day(4)
    )
    assert "daily was 4, now 1" in second["msg"]
    assert len(history.snapshots(images, spec)) == 4


def test_much_less_than_before_or_another_policy_is_refused_until_it_is_accepted(
    modules: Modules, images: Images, spec: ImageSpec
) -> None:
    assert run(modules, spec, retention={"daily": 4, "weekly": 0, "monthly": 0})["changed"]
    refused = run(modules, spec)
    assert refused["failed"]
    assert "daily was 4, now 1" in refused["msg"]
    assert len(history.snapshots(images, spec)) == 4
    assert run(modules, spec, accept_policy_change=True)["changed"]
    assert history.snapshots(images, spec) == [name(3)]
    assert not run(modules, spec)["changed"]


def test_a_clock_that_is_behind_stops_every_removal(
    modules: Modules, images: Images, spec: ImageSpec
) -> None:
    result = run(modules, spec, time=day(1))
    assert "clock" in result["failures"][0]["message"]
    assert len(history.snapshots(images, spec)) == 4


def test_a_bad_policy_is_refused(modules: Modules, spec: ImageSpec) -> None:
    for retention, word in (
        ({"daily": 0, "weekly": 0, "monthly": 0}, "all 0"),
        ({"daily": -1}, "daily"),
        ({"weekly_day": "Sonntag"}, "weekly_day"),
        ({"dayly": 7}, "dayly"),
    ):
        result = run(modules, spec, retention=retention)
        assert result["failed"]
        assert word in result["msg"]
    assert "time zone" in run(modules, spec, timezone="Mars/Olympus")["msg"]


def test_another_prefix_is_refused_until_it_is_accepted_and_the_former_one_stays(
    modules: Modules, images: Images, spec: ImageSpec
) -> None:
    other: dict[str, t.Any] = {"prefix": "other"}
    files = history.files(modules)
    assert "another prefix" in run(modules, spec, **other)["msg"]
    assert run(modules, spec, **other, accept_policy_change=True, check_mode=True)["changed"]
    assert history.files(modules) == files
    accepted = run(modules, spec, **other, accept_policy_change=True)
    assert accepted["changed"], accepted
    assert "failed" not in accepted, accepted
    assert not run(modules, spec, **other)["changed"]
    assert "another prefix" in modules.backup([spec])["msg"]
    assert modules.snapshot([spec], time=day(5), **other)["changed"]
    (archive,) = modules.backup([spec], **other)["archives"]
    assert archive["snapshot"].startswith("other-")
    assert run(modules, spec, **other, time=day(6))["plans"]

    assert history.snapshots(images, spec)[:4] == [name(number) for number in range(4)]
    now = history.files(modules)
    assert {path: now[path] for path in files if "/gfs-" in path} == {
        path: digest for path, digest in files.items() if "/gfs-" in path
    }
    for options, snapshot in (({"prefix": "gfs"}, name(3)), ({}, archive["snapshot"])):
        target = images.name()
        assert modules.restore(target, **options)["restore_point"] == snapshot
        assert images.read(target) == images.read(spec, snapshot)
    assert "gfs-" in str(modules.info(prefix="gfs")["volumes"])
    assert "gfs-" not in str(modules.info()["volumes"])


def test_another_time_zone_is_refused_until_it_is_accepted(
    modules: Modules, images: Images, spec: ImageSpec
) -> None:
    los_angeles = "America/Los_Angeles"
    assert "time zone of the backup set" in run(modules, spec, timezone=los_angeles)["msg"]
    assert len(history.snapshots(images, spec)) == 4
    assert run(modules, spec, timezone=los_angeles, accept_policy_change=True)["changed"]
    assert history.snapshots(images, spec) == [name(3)]
    assert not run(modules, spec)["changed"], "the zone is the recorded one from now on"
    assert "time zone of the backup set" in run(modules, spec, timezone="Europe/Berlin")["msg"]


def test_a_newest_restore_point_that_is_lost_stops_every_removal_until_it_is_accepted(
    modules: Modules, images: Images, spec: ImageSpec
) -> None:
    for number in (2, 3):
        images.rbd(spec, "snap", "rm", "--snap", name(number), "--no-progress")
    base = history.volume_directory(modules) / f"{name(2)}.from-{name(1)}.diff.zst"
    base.unlink()
    base.with_name(f"{base.name}.json").unlink()
    message = run(modules, spec)["failures"][0]["message"]
    assert f"the newest restore point {name(3)} cannot be restored" in message
    assert "accept_lost_newest" in message
    assert history.snapshots(images, spec) == [name(0), name(1)]
    assert run(modules, spec, accept_lost_newest=True)["changed"]
    assert history.snapshots(images, spec) == [name(1)]
    history.all_equal(images, modules, spec, [name(1)])


def test_snapshots_that_were_never_exported_go_on_request_only(
    modules: Modules, images: Images, spec: ImageSpec
) -> None:
    history.age(images, spec, [4, 5])
    result = run(modules, spec, time=day(6))
    assert result["plans"][0]["unarchived"] == [name(4)]
    assert history.snapshots(images, spec) == [name(4), name(5)]
    assert run(modules, spec, time=day(6), remove_unarchived=True)["changed"]
    assert history.snapshots(images, spec) == [name(5)]
    history.all_equal(images, modules, spec, [name(5)])


def test_a_listing_that_cannot_be_trusted_stops_every_removal(
    modules: Modules, images: Images, spec: ImageSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real rbd does not cut its own answer short; a connection on the way may."""
    before = history.snapshots(images, spec)
    monkeypatch.setattr(Commands, "look", cut_short(Commands.look))
    assert "empty where JSON was asked for" in run(modules, spec)["failures"][0]["message"]
    monkeypatch.undo()
    assert history.snapshots(images, spec) == before
    assert len(history.archives(modules)) == 4


def cut_short(look: t.Callable[..., bytes]) -> t.Callable[..., bytes]:
    def instead(commands: Commands, doing: str, argv: t.Sequence[str]) -> bytes:
        answer = look(commands, doing, argv)
        return b"" if "listing the snapshots" in doing else answer

    return instead
