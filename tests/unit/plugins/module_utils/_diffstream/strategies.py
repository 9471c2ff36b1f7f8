# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Strategies: images and histories of images, at odd and at aligned offsets."""

from __future__ import annotations

import dataclasses
import random
import typing as t

import hypothesis.strategies as st

from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.records import (
    Header,
    Record,
)
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._diffstream.model import Image, encode


@dataclasses.dataclass
class State:
    """An image at one snapshot: its content, a full of it, the diff that leads to it."""

    content: bytes
    full: bytes
    diff: bytes


_UNITS = 24
_operations = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, _UNITS), st.integers(1, 12), st.integers(0, 3)),
        st.tuples(st.just("resize"), st.integers(0, _UNITS)),
    ),
    max_size=5,
)


@st.composite
def histories(draw: st.DrawFn, unit: int = 1) -> list[State]:
    """The states of an image at one snapshot after the other; everything happens at multiples of *unit* bytes."""
    image = Image(draw(st.integers(0, _UNITS)) * unit)
    rng = random.Random(draw(st.integers(0, 2**32)))
    states: list[State] = []
    for number, operations in enumerate(draw(st.lists(_operations, min_size=1, max_size=6))):
        for operation in operations:
            run(image, operation, unit, rng)
        size = len(image.content)
        states.append(
            State(
                bytes(image.content),
                encode(Header(None, f"s{number}", size), image.full(rng)),
                encode(Header(f"s{number - 1}", f"s{number}", size), image.diff(rng)),
            )
        )
    return states


@st.composite
def images(draw: st.DrawFn, unit: int = 512) -> tuple[bytes, list[list[Record]]]:
    """One image, and its content cut into the records of a full in two ways."""
    image = Image(draw(st.integers(0, 4 * _UNITS)) * unit + draw(st.integers(0, 3)))
    rng = random.Random(draw(st.integers(0, 2**32)))
    for operation in draw(_operations):
        run(image, operation, unit, rng)
    return bytes(image.content), [image.full(rng), image.full(rng)]


def run(image: Image, operation: t.Sequence[t.Any], unit: int, rng: random.Random) -> None:
    """Do one drawn operation to the image; pattern 0 zeroes."""
    if operation[0] == "resize":
        image.resize(operation[1] * unit)
        return
    _name, offset, length, pattern = operation
    length *= unit
    image.write(
        offset * unit, bytes(length) if pattern == 0 else bytes(rng.choices((0, pattern, 255), k=length))
    )
