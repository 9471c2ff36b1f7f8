# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How large an archive will probably be."""

from __future__ import annotations

from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Archive, Snapshot, State
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.backup import Export
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.estimate import estimated_bytes

SIZE = 1000
FULL = Export(Snapshot(30, "s30", SIZE), None, "")
DIFF = Export(Snapshot(30, "s30", SIZE), Snapshot(29, "s29", SIZE), "")


def archive(number: int, stored: int, stream: int = 1, base: int | None = None) -> Archive:
    stands_on = State(f"s{base}", base, SIZE) if base else None
    return Archive(f"{number}", State(f"s{number}", number, SIZE), stands_on, "i", stored, "", stream, "")


def test_a_first_full_is_what_ceph_says_that_there_is_up_to_its_snapshot() -> None:
    assert estimated_bytes(FULL, [], {10: 200, 30: 50, 40: 900}) == 250


def test_a_full_is_never_larger_than_the_image() -> None:
    assert estimated_bytes(FULL, [], {10: 900, 30: 500}) == SIZE


def test_a_full_shrinks_as_the_newest_one_did() -> None:
    fulls = [archive(5, stored=90, stream=100), archive(20, stored=25, stream=100)]
    assert estimated_bytes(FULL, fulls, {30: 800}) == 200


def test_a_full_is_not_taken_for_larger_than_its_data() -> None:
    assert estimated_bytes(FULL, [archive(5, stored=90, stream=60)], {30: 800}) == 800


def test_without_an_answer_of_ceph_a_full_is_unknown() -> None:
    assert estimated_bytes(FULL, [archive(5, 90, 100)], None) is None
    assert estimated_bytes(FULL, [], {29: 1}) is None


def test_a_diff_is_the_largest_of_the_newest_seven() -> None:
    diffs = [archive(number, stored=number, base=number - 1) for number in range(2, 20)]
    assert estimated_bytes(DIFF, [archive(25, 10**6), archive(2, 999, base=1), *diffs], None) == 19


def test_a_diff_without_another_is_unknown() -> None:
    assert estimated_bytes(DIFF, [archive(25, 10**6)], {30: 800}) is None
