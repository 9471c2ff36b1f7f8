# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo with assertions: inventory, playbooks and roles as a user runs them, from first snapshot to restore."""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._names import parse_utc, snapshot_name
from ansible_collections.rbd_backup.gfs.plugins.module_utils._retention import Policy, RestorePoint, decide
from ansible_collections.rbd_backup.gfs.tests.demo.demo import POOL, Demo
from ansible_collections.rbd_backup.gfs.tests.integration.images import Images

WEEKS = 3


@pytest.fixture(scope="module")
def played() -> t.Iterator[Demo]:
    """A demo that has been played to its end; every step of it fails where it finds something wrong."""
    demo = Demo(WEEKS, quiet=True)
    demo.prepare()
    demo.first_day()
    demo.middle_days()
    demo.last_day()
    demo.restore()
    yield demo
    demo.clean_up()


def expected(demo: Demo) -> list[str]:
    """What retention keeps of one snapshot a day, by the rule alone."""
    times = [parse_utc(demo.snapshot_time(date)) for date in demo.dates]
    points = [RestorePoint(snapshot_name("gfs", time), time) for time in times]
    return [verdict.name for verdict in decide(points, Policy(timezone="Europe/Berlin"), times[-1]).keep]


def test_what_is_left_is_what_the_rule_says_in_ceph_and_on_disk(played: Demo, images: Images) -> None:
    assert sorted(played.images) == [
        "demo-office/archive-data",
        "demo-shop/data-db-0",
        "demo-shop/data-db-1",
        "demo-shop/web-data",
    ]
    keep = expected(played)
    assert 7 < len(keep) < len(played.dates)
    for volume, image in played.images.items():
        listed = json.loads(images._run("snap", "ls", "--format", "json", f"{POOL}/{image}"))
        assert [snapshot["name"] for snapshot in listed] == keep
        (directory,) = (played.root / "lab" / volume).iterdir()
        archives = sorted(path.name for path in directory.glob("gfs-*.zst"))
        assert archives == [
            f"{keep[0]}.full.zst",
            *(f"{name}.from-{before}.diff.zst" for before, name in zip(keep, keep[1:])),
        ]


def test_the_table_gives_a_reason_for_each(played: Demo) -> None:
    table = played.table()
    for name in expected(played):
        lines = [line for line in table.splitlines() if name in line]
        assert len(lines) == len(played.images)
        assert all("keep" in line and ("/7" in line or "/4" in line or "/3" in line) for line in lines)


def test_what_is_of_another_class_is_named(played: Demo) -> None:
    run = played.play("rbd_backup.gfs.snapshot", "--check")
    assert "wiki-data" in run.output
    assert "not an RBD image" in run.output


def test_one_damaged_byte_makes_the_restore_refuse(played: Demo, images: Images) -> None:
    archive = next((played.root / "lab" / "demo-shop" / "web-data").rglob("*.full.zst"))
    good = archive.read_bytes()
    content = bytearray(good)
    content[len(content) // 3] ^= 0x10
    archive.write_bytes(content)
    try:
        run = played.play(
            "rbd_backup.gfs.restore",
            expect=2,
            rbd_restore_namespace="demo-shop",
            rbd_restore_claim="web-data",
            rbd_restore_target={"image": "demo-restored-damaged"},
        )
    finally:
        archive.write_bytes(good)
    assert archive.name in run.output
    assert "damaged" in run.output
    assert not [name for name in images.listed(POOL) if name.startswith("demo-restored-damaged")]


def test_the_roles_do_for_two_clusters_what_limit_and_tags_say(played: Demo, tmp_path: pathlib.Path) -> None:
    inventory = json.loads(played.inventory.read_text(encoding="utf-8"))
    inventory["rbd_backup"]["hosts"]["second"] = {"rbd_backup_snapshot_prefix": "second"}
    both = tmp_path / "inventory.json"
    both.write_text(json.dumps(inventory), encoding="utf-8")
    demo = played
    demo.inventory = both
    try:
        first = demo.play("rbd_backup.gfs.backup", "--limit", "lab")
        assert "second" not in first.output.rpartition("PLAY RECAP")[2]
        nothing = demo.play(
            "rbd_backup.gfs.backup", "--limit", "second", "--tags", "snapshot", rbd_backup_init=True
        )
        assert not (demo.root / "second").exists(), nothing.output
        demo.play("rbd_backup.gfs.snapshot", "--limit", "second")
        demo.play("rbd_backup.gfs.backup", "--limit", "second", "--tags", "backup", rbd_backup_init=True)
    finally:
        demo.inventory = demo.directory / "inventory.json"
    assert len(list((demo.root / "second").rglob("second-*.full.zst"))) == len(demo.images)
