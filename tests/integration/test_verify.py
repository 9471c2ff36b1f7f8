# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rbd_backup_verify on real backups: what is whole is proved, everything at once or each volume in its turn."""

from __future__ import annotations

import datetime as dt
import pathlib
import shutil
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.files import (
    atomic_write_json,
    read_json,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.lock import VolumeLock
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec
from ansible_collections.rbd_backup.gfs.plugins.module_utils._names import format_utc, parse_utc
from ansible_collections.rbd_backup.gfs.tests.integration import history
from ansible_collections.rbd_backup.gfs.tests.integration.history import day, name
from ansible_collections.rbd_backup.gfs.tests.integration.images import MIB, Images
from ansible_collections.rbd_backup.gfs.tests.integration.modules import Modules, volume
from ansible_collections.rbd_backup.gfs.tests.integration.processes import another_process
from ansible_collections.rbd_backup.gfs.tests.integration.verifying import (
    FULL,
    archives_read,
    flip,
    proof,
    results,
)


def test_everything_is_proved_by_reading_every_archive_once(
    modules: Modules, images: Images, four_days: ImageSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = history.archives(modules)
    reads = archives_read(monkeypatch)
    preview = modules.verify(check_mode=True)
    assert reads == []
    assert set(results(preview).values()) == {"planned"}
    result = modules.verify()
    assert "failed" not in result, result
    assert not result["changed"]
    assert sorted(reads) == files
    assert results(result) == {name(number): "proved" for number in range(4)}
    sizes = [(history.volume_directory(modules) / file).stat().st_size for file in files]
    assert preview["archive_bytes"] == result["archive_bytes"] == sum(sizes)
    noted = proof(modules)
    assert sorted(noted["hashed"]) == files
    (entry,) = result["volumes"]
    for point in entry["restore_points"]:
        assert noted["image_digests"][point["name"]]["digest"] == point["image_digest"]
        restored = modules.restore(images.name(), restore_point=point["name"])
        assert restored["image_digest"] == point["image_digest"] == restored["image_digest_on_record"]


def test_offline_needs_no_ceph_and_no_right_to_write(
    modules: Modules, four_days: ImageSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules.verify()
    before = history.files(modules)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CEPH_CONF", "/nowhere")
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    with another_process(VolumeLock(str(history.volume_directory(modules))).__enter__):
        result = modules.verify(kubeconfig=None)
    monkeypatch.undo()
    assert "failed" not in result, result
    assert "could not be noted" in str(result["warnings"])
    assert not result["volumes"][0]["recorded"]
    assert history.files(modules) == before


def test_chosen_volumes_and_all_and_a_damaged_one_that_stops_no_other(
    modules: Modules, images: Images, four_days: ImageSpec
) -> None:
    other = images.create()
    modules.snapshot([four_days, other], time=day(5))
    modules.backup([four_days, other])
    assert [entry["claim"] for entry in modules.verify()["volumes"]] == ["data-0", "data-1"]
    only = modules.verify(volumes=[volume(other)])
    assert [entry["image"] for entry in only["volumes"]] == [str(other)]
    directory = history.directory_of(modules, four_days)
    flip(directory / FULL)
    result = modules.verify(parallel=1)
    assert [item["image"] for item in result["failures"]] == [str(four_days)]
    assert {p["result"] for p in result["volumes"][1]["restore_points"]} == {"proved"}
    (directory / "volume.json").write_text("{")
    assert "volume.json" in modules.verify()["msg"]
    shutil.rmtree(directory)
    absent = images.create()
    result = modules.verify(volumes=[volume(absent)])
    assert any("never backed up" in line for line in result["table"])
    assert f"({absent}): it was never backed up" in str(result["warnings"])


def test_a_sample_takes_the_volumes_in_turn(
    modules: Modules, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    specs = [images.create() for _number in range(4)]
    for spec in specs:
        images.change(spec, ("write", 0, MIB, 1))
    ten_days_ago = dt.datetime.now(dt.timezone.utc) - dt.timedelta(days=10)
    modules.snapshot(specs, time=format_utc(ten_days_ago))
    modules.backup(specs)
    taken = []
    for _run in range(4):
        result = modules.verify(mode="sample", sample_share=20)
        taken += [entry["image"] for entry in result["volumes"] if entry["restore_points"]]
        for file in modules.set_path.rglob("proof.json"):
            let_a_day_pass(file)
    assert sorted(taken) == sorted(map(str, specs))
    reads = archives_read(monkeypatch)
    assert modules.verify(mode="sample", sample_days=30)["archive_bytes"] == 0
    assert reads == []
    assert len(results_of_all(modules.verify(mode="sample", sample_days=1))) == 4


def let_a_day_pass(proof_file: pathlib.Path) -> None:
    """Make all proofs of a volume a day older."""
    content = read_json(str(proof_file))
    for part in ("hashed", "image_digests"):
        for entry in content[part].values():
            entry["at"] = format_utc(parse_utc(entry["at"]) - dt.timedelta(days=1))
    atomic_write_json(str(proof_file), content, "")


def results_of_all(result: dict[str, t.Any]) -> list[str]:
    return [point["result"] for entry in result["volumes"] for point in entry["restore_points"]]
