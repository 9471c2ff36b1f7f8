# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which volumes and which restore point a restore takes."""

from __future__ import annotations

import os
import pathlib
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import ArchiveError, InvalidInput
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._actions.backup_of_contents import (
    MIB,
    BackupOfContents,
)
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._actions.restoring import (
    FIRST,
    SECOND,
    THIRD,
    content,
    run,
)
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._archive import (
    archive_samples as samples,
)


def test_all_volumes_of_a_workload_at_the_same_point(
    backup: BackupOfContents, tmp_path: pathlib.Path
) -> None:
    backup.add("data-0", [content(1), content(2)])
    backup.add("data-1", [content(3), content(4)])
    backup.add("other", [content(5)], users=("deployment/web",))
    outcome = run(backup, tmp_path / "{claim}-{restore_point}.raw", workload="statefulset/db")
    assert [volume["claim"] for volume in outcome.values["volumes"]] == ["data-0", "data-1"]
    assert (tmp_path / f"data-0-{SECOND}.raw").read_bytes() == content(2)
    assert (tmp_path / f"data-1-{SECOND}.raw").read_bytes() == content(4)
    (bare,) = run(backup, tmp_path / "bare.raw", workload="web").values["volumes"]
    assert bare["claim"] == "other"
    with pytest.raises(InvalidInput, match=r"More than one volume would become .*one\.raw"):
        run(backup, tmp_path / "one.raw", workload="statefulset/db")
    with pytest.raises(InvalidInput, match="which is none of"):
        run(backup, tmp_path / "{pod}.raw", workload="statefulset/db")
    with pytest.raises(InvalidInput, match="on record in that namespace: deployment/web, statefulset/db"):
        run(backup, tmp_path / "x.raw", workload="deployment/db")


def test_the_bare_name_of_two_workloads_is_not_enough(
    backup: BackupOfContents, tmp_path: pathlib.Path
) -> None:
    backup.add("data-0", [content(1)])
    backup.add("data-1", [content(2)], users=("deployment/db",))
    with pytest.raises(InvalidInput, match="write deployment/db or statefulset/db"):
        run(backup, tmp_path / "{claim}.raw", workload="db")
    (restored,) = run(backup, tmp_path / "x.raw", workload="deployment/db").values["volumes"]
    assert restored["claim"] == "data-1"


def test_volumes_of_a_workload_are_not_restored_at_different_points(
    backup: BackupOfContents, tmp_path: pathlib.Path
) -> None:
    backup.add("data-0", [content(1), content(2), content(3)])
    backup.add("data-1", [content(3), content(4)])
    with pytest.raises(InvalidInput, match=f"newest that all of them have is {SECOND}"):
        run(backup, tmp_path / "{claim}.raw", workload="statefulset/db")
    outcome = run(backup, tmp_path / "{claim}.raw", workload="statefulset/db", restore_point=SECOND)
    assert len(outcome.values["volumes"]) == 2


def test_a_claim_that_was_created_anew_needs_an_image_id(
    backup: BackupOfContents, tmp_path: pathlib.Path
) -> None:
    first = backup.add("data", [content(1)], image_id="aa11")
    backup.add("data", [content(2)], image_id="bb22")
    with pytest.raises(InvalidInput) as caught:
        run(backup, tmp_path / "x.raw", claim="data")
    for word in ("aa11", "bb22", "2026-", f"{4 * MIB} bytes", str(first)):
        assert word in caught.value.message
    run(backup, tmp_path / "x.raw", claim="data", image_ids=["aa11"])
    run(backup, tmp_path / "y.raw", workload="statefulset/db", image_ids=["bb22"])
    run(backup, tmp_path / "z.raw", directory=os.path.relpath(first, backup.root / "lab"), namespace=None)
    found = [(tmp_path / f"{name}.raw").read_bytes() for name in "xyz"]
    assert found == [content(1), content(2), content(1)]
    with pytest.raises(InvalidInput, match="with image id cc33"):
        run(backup, tmp_path / "w.raw", claim="data", image_ids=["cc33"])
    with pytest.raises(InvalidInput, match="not the directory of a volume"):
        run(backup, tmp_path / "w.raw", directory="shop")


@pytest.mark.parametrize("options", [{"claim": "data"}, {"workload": "statefulset/db"}])
def test_a_directory_that_cannot_be_read_is_never_passed_over_for_another_of_the_claim(
    backup: BackupOfContents, tmp_path: pathlib.Path, options: dict[str, t.Any]
) -> None:
    backup.add("data", [content(1)], image_id="0a")
    newer = backup.add("data", [content(2)], image_id="0b")
    backup.add("other", [content(3)], users=())
    (newer / "volume.json").write_text("{", encoding="ascii")
    with pytest.raises(InvalidInput, match=r"volume\.json is damaged.*image_ids"):
        run(backup, tmp_path / "x.raw", **options)
    assert not (tmp_path / "x.raw").exists()
    run(backup, tmp_path / "x.raw", **options, image_ids=["0a"])
    assert (tmp_path / "x.raw").read_bytes() == content(1)
    run(backup, tmp_path / "y.raw", claim="other")
    assert (tmp_path / "y.raw").read_bytes() == content(3)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("flipped byte", "is damaged"),
        ("cut short", "it has 100 bytes, and its manifest records"),
        ("archive missing", "is missing, its manifest is there"),
        ("manifest missing", "has no manifest"),
        ("manifest damaged", ".json is damaged"),
        ("both missing", f"stands on {SECOND}, and no archive leads there"),
    ],
)
@pytest.mark.parametrize("wanted", ["latest", THIRD, "2026-11-03T20:00:00Z"])
def test_every_kind_of_damage_to_the_chain_is_refused_in_words_of_its_own(
    backup: BackupOfContents, tmp_path: pathlib.Path, kind: str, words: str, wanted: str
) -> None:
    directory = backup.add("data", [content(1), content(2), content(3)])
    samples.damage(directory / f"{SECOND}.from-{FIRST}.diff.zst", kind)
    if kind == "flipped byte":  # which only reading tells
        message = run(backup, tmp_path / "x.raw", claim="data", restore_point=wanted).failures[0]["message"]
        assert "Nothing was restored" in message
    else:
        with pytest.raises(ArchiveError) as caught:
            run(backup, tmp_path / "x.raw", claim="data", restore_point=wanted)
        message = caught.value.message
        assert f"Restore point {THIRD}" in message
        assert "Nothing was touched" in message
        assert f"is {FIRST}: give that name" in message
    assert words in message
    assert [path.name for path in tmp_path.iterdir()] == ["backup"]
    run(backup, tmp_path / "x.raw", claim="data", restore_point=FIRST)
    assert (tmp_path / "x.raw").read_bytes() == content(1)


@pytest.mark.parametrize(
    ("wanted", "day"),
    [
        ("latest", 3),
        (FIRST, 1),
        ("2026-11-02T17:00:00Z", 2),
        ("2026-11-03T17:59:59+01:00", 2),
        ("2027-01-01T00:00:00Z", 3),
    ],
)
def test_a_time_means_the_newest_restore_point_not_after_it(
    backup: BackupOfContents, tmp_path: pathlib.Path, wanted: str, day: int
) -> None:
    backup.add("data", [content(1), content(2), content(3)])
    outcome = run(backup, tmp_path / "x.raw", claim="data", restore_point=wanted)
    assert outcome.values["volumes"][0]["restore_point"] == samples.snapshot(day)
    assert (tmp_path / "x.raw").read_bytes() == content(day)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("2026-11-01T16:59:59Z", f"the oldest is {FIRST}"),
        ("gfs-20250101T000000Z", f"There are: {FIRST}, {SECOND}."),
        ("yesterday", "neither 'latest', nor a snapshot name"),
    ],
)
def test_a_restore_point_that_there_is_not(
    backup: BackupOfContents, tmp_path: pathlib.Path, wanted: str, words: str
) -> None:
    backup.add("data", [content(1), content(2)])
    with pytest.raises(InvalidInput, match="Nothing was touched") as caught:
        run(backup, tmp_path / "x.raw", claim="data", restore_point=wanted)
    assert words in caught.value.message
