# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Chains: the archives that lead to a restore point, compared with trying every path."""

from __future__ import annotations

import itertools
import typing as t

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.chain import (
    chain,
    joined_by_name,
    joins,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Archive, State


def archive(
    to: str | State, base: str | State | None = None, image: str | None = "image", stored: int = 10
) -> Archive:
    """An archive between states; a text of one letter is a state whose id is the letter's code."""
    to_state = _state(to)
    base_state = None if base is None else _state(base)
    file = f"{to_state}-{base_state}-{image}-{stored}"
    return Archive(file, to_state, base_state, image, stored, "", 0, "")


def _state(of: str | State) -> State:
    return of if isinstance(of, State) else State(of, ord(of), 100)


def files(path: tuple[Archive, ...] | None) -> list[str]:
    assert path is not None
    return ["full" if one.base is None else one.base.snapshot for one in path] + [path[-1].to.snapshot]


FULL, AB, BC, CD = archive("a"), archive("b", "a"), archive("c", "b"), archive("d", "c")


def test_a_chain_in_any_order() -> None:
    for order in itertools.permutations([FULL, AB, BC, CD]):
        assert chain(order, "d") == (FULL, AB, BC, CD)
        assert chain(order, "a") == (FULL,)


@pytest.mark.parametrize("missing", [FULL, AB, BC, CD])
def test_a_chain_with_a_hole_is_none(missing: Archive) -> None:
    assert chain([one for one in (FULL, AB, BC, CD) if one != missing], "d") is None


def test_no_archive_to_the_point() -> None:
    assert chain([], "a") is None
    assert chain([FULL], "b") is None


def test_the_fewest_archives_and_then_the_fewest_bytes() -> None:
    shortcut, dear = archive("d", "a", stored=5000), archive("d", "a", stored=6000)
    assert chain([FULL, AB, BC, CD, dear, shortcut], "d") == (FULL, shortcut)
    assert files(chain([FULL, AB, BC, CD, archive("c", stored=10**9)], "d")) == ["full", "c", "d"]


def test_the_same_archive_twice_is_one() -> None:
    assert chain([FULL, FULL, AB, AB], "b") == (FULL, AB)


def test_a_circle_ends() -> None:
    assert chain([archive("b", "a"), archive("a", "b")], "b") is None


def test_a_snapshot_made_again_under_the_same_name_joins_nothing() -> None:
    again = archive(State("a", 999, 100))
    assert chain([again, AB], "b") is None
    assert chain([again, FULL, AB], "b") == (FULL, AB)
    assert chain([again, FULL], "a", 999) == (again,)
    assert chain([again, FULL], "a", ord("a")) == (FULL,)
    assert chain([FULL], "a", 5) is None


def test_of_two_snapshots_of_one_name_the_last_one_is_meant_however_long_its_chain() -> None:
    again = archive(State("d", 999, 100), "b")
    assert chain([FULL, AB, archive("d"), again], "d") == (FULL, AB, again)
    # the one before it is no stand-in
    assert chain([FULL, archive("d"), again], "d") is None


def test_another_size_joins_nothing() -> None:
    assert chain([archive(State("a", ord("a"), 99)), AB], "b") is None


def test_an_unknown_id_joins_any() -> None:
    rebuilt = archive(State("a", None, 100), image=None)
    assert chain([rebuilt, AB], "b") == (rebuilt, AB)
    assert chain([rebuilt], "a", 5) == (rebuilt,)
    assert joins(State("a", None, 1), State("a", 5, 1))
    assert not joins(State("a", None, 1), State("a", 5, 2))
    assert not joins(State("a", None, 1), State("b", None, 1))


def test_a_chain_that_is_joined_by_ids_goes_before_a_shorter_one_that_is_joined_by_a_name() -> None:
    rebuilt = archive(State("b", None, 100))
    assert chain([FULL, AB, rebuilt, BC], "c") == (FULL, AB, BC)
    assert joined_by_name((FULL, AB, BC)) == ()
    assert chain([rebuilt, BC], "c") == (rebuilt, BC)
    assert joined_by_name((rebuilt, BC)) == ("b",)


def test_two_images_make_no_chain_not_even_through_an_unknown_one() -> None:
    assert chain([archive("a", image="other"), AB], "b") is None
    assert chain([archive("a", image="other"), archive("b", "a", image=None), BC], "c") is None


STATES = st.builds(
    State, st.sampled_from("abcde"), st.sampled_from([None, 1, 1, 2]), st.sampled_from([7, 7, 8])
)
ARCHIVES = st.lists(
    st.builds(archive, STATES, st.none() | STATES, st.sampled_from([None, "x", "x", "y"]), st.integers(1, 3)),
    max_size=9,
    unique_by=lambda one: one.file,
)


def every_chain(
    archives: list[Archive], snapshot: str, number: int | None
) -> t.Iterator[tuple[Archive, ...]]:
    """Every chain there is, by trying: the definition."""

    def grow(path: tuple[Archive, ...]) -> t.Iterator[tuple[Archive, ...]]:
        base = path[0].base
        if base is None:
            yield path
            return
        for one in archives:
            known = {a.image_id for a in (one, *path)} - {None}
            ids = {i for i in (one.to.snapshot_id, base.snapshot_id) if i is not None}
            same = one.to.snapshot == base.snapshot and one.to.size == base.size and len(ids) < 2
            if same and len(known) < 2 and one not in path:
                yield from grow((one, *path))

    if number is None:
        number = (
            max((a.to.snapshot_id or 0 for a in archives if a.to.snapshot == snapshot), default=0) or None
        )
    for last in archives:
        if last.to.snapshot == snapshot and number in (None, last.to.snapshot_id, *_any_id(last, number)):
            yield from grow((last,))


def _any_id(last: Archive, number: int | None) -> tuple[int | None, ...]:
    return (number,) if last.to.snapshot_id is None else ()


@settings(max_examples=1500)
@given(archives=ARCHIVES, snapshot=st.sampled_from("abcde"), number=st.sampled_from([None, None, 1, 2]))
def test_the_answer_is_the_best_of_all_chains(
    archives: list[Archive], snapshot: str, number: int | None
) -> None:
    chains = list(every_chain(archives, snapshot, number))
    found = chain(archives, snapshot, number)
    if not chains:
        assert found is None
        return
    assert found in chains

    def cost(path: tuple[Archive, ...]) -> tuple[int, int, int]:
        return len(joined_by_name(path)), len(path), sum(one.stored_bytes for one in path)

    assert cost(found or ()) == min(map(cost, chains))
