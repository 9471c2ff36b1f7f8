# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work on many volumes: one that fails stops no other, and never looks like success."""

from __future__ import annotations

import threading

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.each_volume import (
    check_parallel,
    for_each_volume,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import CephError, InvalidInput
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec, Volume

VOLUMES = [
    Volume("shop", f"data-{number}", ImageSpec("rbd", "", f"image-{number}"), None) for number in range(4)
]


def test_the_others_go_on_and_every_failure_is_told_of_its_volume() -> None:
    def work(volume: Volume) -> str:
        if volume is VOLUMES[1]:
            raise CephError("The pool is full.")
        if volume is VOLUMES[2]:
            raise KeyError("size")
        return volume.claim

    results, failures = for_each_volume(VOLUMES, work, 1)
    assert results == ["data-0", "data-3"]
    known, unforeseen = failures
    assert known == {
        "namespace": "shop",
        "claim": "data-1",
        "image": "rbd/image-1",
        "message": "The pool is full.",
    }
    assert unforeseen["claim"] == "data-2"
    assert "report it as a defect" in unforeseen["message"]
    assert "KeyError: 'size'" in unforeseen["message"]


def test_so_many_are_worked_on_at_once() -> None:
    meeting = threading.Barrier(2, timeout=10)  # one alone would wait for ever
    results, failures = for_each_volume(VOLUMES, lambda volume: bool(meeting.wait() + 1), 2)
    assert (results, failures) == ([True] * 4, [])


@pytest.mark.parametrize("parallel", [0, -1])
def test_none_at_once_is_refused(parallel: int) -> None:
    with pytest.raises(InvalidInput, match=f"parallel is {parallel}"):
        check_parallel({"parallel": parallel})
    assert check_parallel({"parallel": 1}) == 1
