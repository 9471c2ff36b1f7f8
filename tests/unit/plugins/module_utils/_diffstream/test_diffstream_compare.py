# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first byte in which two images differ, however their streams are cut."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.compare import first_difference
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.records import Record
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._diffstream.model import cut
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._diffstream.strategies import images


@given(images())
def test_equal_images_differ_nowhere(drawn: tuple[bytes, list[list[Record]]]) -> None:
    _content, (one, other) = drawn
    assert first_difference(one, other) is None


@given(drawn=images(), data=st.data())
def test_the_first_of_the_bytes_that_were_changed(
    drawn: tuple[bytes, list[list[Record]]], data: st.DataObject
) -> None:
    content, (before, _again) = drawn
    changed = bytearray(content)
    places = (
        data.draw(st.sets(st.integers(0, len(content) - 1), min_size=1, max_size=4)) if content else set()
    )
    for place in places:
        changed[place] ^= data.draw(st.integers(1, 255))
    mask = bytes(b"\1" * len(changed))
    after = cut(bytes(changed), mask, random.Random(1))
    assert first_difference(before, after) == min(places, default=None)
    assert first_difference(after, before) == min(places, default=None)
