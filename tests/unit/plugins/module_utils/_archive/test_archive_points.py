# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which restore points are known of, and each kind of gap in a chain in words of its own."""

from __future__ import annotations

import dataclasses
import pathlib

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.inventory import Inventory
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.points import known_points, why_lost
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.problems import DAMAGED, Problem
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._archive.archive_samples import (
    PREFIX,
    damage,
    publish,
    snapshot,
    state,
    volume_directory,
)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("archive missing", "is missing, its manifest is there"),
        ("both missing", "no archive leads there"),
        ("manifest missing", "has no manifest"),
        ("manifest damaged", "damaged"),
        ("cut short", "it has 100 bytes"),
    ],
)
@pytest.mark.parametrize("day", [1, 2])
def test_a_gap_in_the_chain_is_found_from_every_restore_point_behind_it(
    tmp_path: pathlib.Path, day: int, kind: str, words: str
) -> None:
    directory = volume_directory(tmp_path)
    files = [publish(directory.path, number, number - 1 or None).file for number in (1, 2, 3)]
    damage(pathlib.Path(directory.path) / files[day - 1], kind)
    inventory = directory.archives(PREFIX)
    known = {point.snapshot: point.chain for point in known_points(inventory, PREFIX)}
    assert set(known) | {snapshot(day)} == {snapshot(1), snapshot(2), snapshot(3)}
    for number in (1, 2, 3):
        if snapshot(number) in known:
            lost = known[snapshot(number)] is None
            assert lost == (number >= day)
            found = why_lost(inventory, snapshot(number), PREFIX)
            assert bool(found) == lost
            assert all(words in problem.message for problem in found)


def test_states_that_do_not_join_are_told_with_both_ids(tmp_path: pathlib.Path) -> None:
    directory = volume_directory(tmp_path)
    publish(directory.path, 1, to=dataclasses.replace(state(1), snapshot_id=999))
    archive = publish(directory.path, 2, 1)
    (problem,) = why_lost(directory.archives(PREFIX), snapshot(2), PREFIX)
    assert problem.file == archive.file
    assert "id 999" in problem.message
    assert "id 101" in problem.message


def test_archives_that_stand_on_each_other_end_the_search() -> None:
    inventory = Inventory(
        (),
        (),
        (),
        (f"{snapshot(1)}.from-{snapshot(2)}.diff", f"{snapshot(2)}.from-{snapshot(1)}.diff"),
        (),
        (),
    )
    assert len(why_lost(inventory, snapshot(1), PREFIX)) == 2


def test_without_a_damaged_archive_the_chain_is_another_one_or_none(tmp_path: pathlib.Path) -> None:
    directory = volume_directory(tmp_path)
    full, diff = publish(directory.path, 1), publish(directory.path, 2, 1)
    second = publish(directory.path, 2)
    inventory = directory.archives(PREFIX)
    bad = [Problem(archive.file, "It is damaged.", DAMAGED) for archive in (second, full)]
    assert known_points(inventory, PREFIX)[1].chain == (second,)
    assert known_points(inventory.without(bad[:1]), PREFIX)[1].chain == (full, diff)
    assert known_points(inventory.without(bad), PREFIX)[1].chain is None
    assert set(why_lost(inventory.without(bad), snapshot(2), PREFIX)) == set(bad)
