# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rbd_backup_info on real backups: what it says is what there is, and nothing is touched."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.lock import VolumeLock
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec
from ansible_collections.rbd_backup.gfs.tests.integration import history
from ansible_collections.rbd_backup.gfs.tests.integration.history import day, name
from ansible_collections.rbd_backup.gfs.tests.integration.images import Images
from ansible_collections.rbd_backup.gfs.tests.integration.modules import Modules, volume
from ansible_collections.rbd_backup.gfs.tests.integration.processes import another_process


@pytest.fixture
def spec(modules: Modules, images: Images) -> ImageSpec:
    """An image with three days of history, all backed up."""
    return history.backed_up(images, modules, 3)


def only(result: dict[str, t.Any]) -> dict[str, t.Any]:
    assert "failed" not in result, result
    (entry,) = result["volumes"]
    found: dict[str, t.Any] = entry
    return found


def test_everything_about_the_restore_points_and_nothing_is_written(
    modules: Modules, spec: ImageSpec
) -> None:
    before = history.files(modules)
    result = modules.info(time=day(2))
    assert history.files(modules) == before
    assert not result["changed"]
    entry = only(result)
    assert (entry["namespace"], entry["claim"], entry["image"]) == ("shop", "data-0", str(spec))
    assert entry["newest"] == day(2)
    points = entry["restore_points"]
    assert [point["name"] for point in points] == [name(0), name(1), name(2)]
    assert [point["age_seconds"] for point in points] == [172800, 86400, 0]
    assert [(point["kind"], point["chain"]) for point in points] == [("full", 1), ("diff", 2), ("diff", 3)]
    sizes = {p.name: p.stat().st_size for p in history.volume_directory(modules).glob("gfs-*.zst")}
    assert entry["stored_bytes"] == result["stored_bytes"] == sum(sizes.values())
    assert sorted(point["stored_bytes"] for point in points) == sorted(sizes.values())
    table = "\n".join(result["table"])
    assert all(point["name"] in table for point in points)
    assert "not read again yet" in table


def test_reasons_by_the_recorded_policy_and_the_dates_of_proofs(
    modules: Modules, spec: ImageSpec, images: Images
) -> None:
    assert only(modules.info())["restore_points"][0]["reasons"] == []
    retention = {"daily": 2, "weekly": 0, "monthly": 1}
    modules.consolidate([spec], retention=retention, time=day(2))
    modules.restore(images.name(), restore_point=name(2))
    points = only(modules.info(time=day(2)))["restore_points"]
    assert points[-1]["reasons"] == ["daily 1/2"]
    assert all(point["keep"] for point in points)
    assert points[-1]["replayed"]
    assert points[0]["replayed"] is None


def test_overdue_by_hours_and_a_volume_that_was_never_backed_up(
    modules: Modules, images: Images, spec: ImageSpec
) -> None:
    assert modules.info(time=day(3))["overdue"] == []
    assert modules.info(time=day(3), overdue_hours=23)["overdue"] == [only(modules.info())["name"]]
    never = images.create()
    result = modules.info(volumes=[volume(spec), volume(never, "never")], time=day(2), ceph=modules.ceph)
    assert [str(never) in item for item in result["overdue"]] == [True]
    assert any("never backed up" in line for line in result["table"])
    assert "at least 1" in modules.info(overdue_hours=0)["msg"]
    # a clock that was wrong once
    modules.snapshot([spec], time="2126-01-01T00:00:00Z", allow_future=True)
    modules.backup([spec])
    late = modules.info(time=day(4))
    assert late["overdue"] == [only(late)["name"]]
    assert only(late)["newest"] == "2126-01-01T00:00:00Z"


def test_snapshots_of_images_that_nobody_uses_also_in_the_trash(
    modules: Modules, images: Images, spec: ImageSpec
) -> None:
    other = images.create()
    modules.snapshot([other], time=day(1))
    images.rbd(spec, "snap", "create", "--snap", "csi-snap-1")
    mine = {spec.image, other.image}

    def orphans(used: list[ImageSpec], **options: t.Any) -> dict[str, dict[str, t.Any]]:
        options = {"ceph": modules.ceph, "volumes_complete": True, **options}
        result = modules.info(volumes=[volume(s) for s in used], **options)
        unlooked = [line for line in result["table"] if "Orphans were not looked for" in line]
        assert bool(unlooked) is not options["volumes_complete"]
        return {one["image"]: one for one in result["orphans"] if one["image"] in mine}

    found = orphans([spec])
    assert {image: one["snapshots"] for image, one in found.items()} == {other.image: [name(1)]}
    found = orphans([other])
    assert found[spec.image]["snapshots"] == [name(0), name(1), name(2)]
    assert found[spec.image]["directory"] == str(history.volume_directory(modules))
    assert orphans([other], volumes_complete=False) == {}
    assert orphans([other], ceph=None)[spec.image]["directory"]
    images.rbd(spec, "trash", "mv")
    number = found[spec.image]["image_id"]
    try:
        found = orphans([other])
        assert found[spec.image]["in_trash"]
        assert found[spec.image]["snapshots"] == [name(0), name(1), name(2)]
    finally:
        images.out_of_the_trash(spec.pool, number)
    assert "Orphans were not looked for" in str(modules.info(volumes=[volume(other)])["table"])
    result = modules.info(volumes=[volume(other)], volumes_complete=True)
    assert not next(entry for entry in result["volumes"] if entry["image"] == str(spec))["overdue"]


def test_damage_and_what_dead_runs_left_are_shown(modules: Modules, spec: ImageSpec) -> None:
    directory = history.volume_directory(modules)
    (directory / f"{name(1)}.from-{name(0)}.diff.zst").unlink()
    (directory / f"{name(2)}.from-{name(1)}.diff.zst.json").rename(directory / "elsewhere.txt")
    left = directory / ".tmp-1-0123456789abcdef-proof.json"
    left.write_text("")
    entry = only(modules.info())
    assert [point["chain"] for point in entry["restore_points"]] == [1, None, None]
    assert entry["newest"] == day(0)
    assert "is missing" in entry["problems"][0]
    assert "no manifest" in entry["problems"][1]
    assert entry["temporaries"] == [left.name]
    with another_process(VolumeLock(str(directory)).__enter__):
        assert only(modules.info())["temporaries"] == []


def test_one_volume_that_cannot_be_looked_at_stops_no_other(
    modules: Modules, images: Images, spec: ImageSpec
) -> None:
    other = images.create()
    modules.snapshot([spec, other], time=day(3))
    modules.backup([spec, other])
    (history.directory_of(modules, other) / "proof.json").write_text("{}")
    result = modules.info()
    assert result["failed"]
    assert [item["image"] for item in result["failures"]] == [str(other)]
    assert [entry["image"] for entry in result["volumes"]] == [str(spec)]


def test_without_a_backup_set_it_says_so(modules: Modules) -> None:
    assert "not a backup set" in modules.info()["msg"]
