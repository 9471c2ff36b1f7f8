# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One pass over a chain gives the image digest of every restore point on it."""

from __future__ import annotations

import collections
import dataclasses
import pathlib
import shutil
import typing as t

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive import replay as replaying
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive import verify as reading
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.names import archive_name
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.publish import ArchiveWriter
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.replay import paths, replay
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import ArchiveError
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Archive
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._archive.archive_samples import (
    flip,
    origin,
    publish,
    snapshot,
    state,
    volume_directory,
)
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._diffstream.model import (
    decode,
    encode,
    image_digest,
)
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._diffstream.strategies import (
    State,
    histories,
)


def publish_history(directory: str, states: t.Sequence[State]) -> list[Archive]:
    """Publish a history: the first state as a full, each other one as a diff."""
    archives = []
    for day, one in enumerate(states, 1):
        base = day - 1 or None
        header, records = decode(one.diff if base else one.full)
        names = {"from_snapshot": snapshot(base) if base else None, "to_snapshot": snapshot(day)}
        with ArchiveWriter(directory, archive_name(snapshot(day), names["from_snapshot"], "none")) as writer:
            writer.write(encode(dataclasses.replace(header, **names), records))
            before = state(base, len(states[base - 1].content)) if base else None
            writer.seal(dataclasses.replace(origin(day), to=state(day, header.size), base=before))
            archives.append(writer.publish())
    return archives


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> t.Counter[str]:
    """How often each file is opened for reading."""
    counted: t.Counter[str] = collections.Counter()
    original = reading._StoredFile.__init__

    def count(self: t.Any, path: str) -> None:
        counted[pathlib.Path(path).name] += 1
        original(self, path)

    monkeypatch.setattr(reading._StoredFile, "__init__", count)
    return counted


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(states=histories(unit=1024), data=st.data())
def test_each_digest_is_that_of_the_image_also_after_a_shrink(
    tmp_path: pathlib.Path, states: list[State], data: st.DataObject
) -> None:
    directory = tmp_path / "history"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    chain = publish_history(str(directory), states)
    wanted = data.draw(st.sets(st.sampled_from(range(len(states))), min_size=1))
    assert replay(str(directory), chain, {chain[index].to.snapshot for index in wanted}) == {
        chain[index].to.snapshot: image_digest(states[index].content) for index in wanted
    }


def test_a_chain_is_read_once_and_a_very_long_one_once_for_every_32(
    tmp_path: pathlib.Path, reads: t.Counter[str]
) -> None:
    directory = volume_directory(tmp_path).path
    chain = [publish(directory, day, day - 1 or None, "none") for day in range(1, 71)]
    everything = {archive.to.snapshot for archive in chain}
    digests = replay(directory, chain, everything)
    assert set(digests) == everything
    assert reads[chain[0].file] == 3
    assert reads[chain[-1].file] == 1
    reads.clear()
    for day in (1, 32, 33, 70):
        assert replay(directory, chain, {snapshot(day)}) == {snapshot(day): digests[snapshot(day)]}
    reads.clear()
    replay(directory, chain[:32], everything)
    assert set(reads.values()) == {1}


def test_it_stops_at_the_last_that_is_wanted(tmp_path: pathlib.Path, reads: t.Counter[str]) -> None:
    directory = volume_directory(tmp_path).path
    chain = [publish(directory, day, day - 1 or None) for day in (1, 2, 3)]
    replay(directory, chain, {snapshot(2)})
    assert set(reads) == {chain[0].file, chain[1].file}


@pytest.mark.parametrize("day", [1, 2, 3])
def test_damage_names_the_archive_and_the_byte(tmp_path: pathlib.Path, day: int) -> None:
    directory = volume_directory(tmp_path).path
    chain = [publish(directory, number, number - 1 or None) for number in (1, 2, 3)]
    flip(f"{directory}/{chain[day - 1].file}", 5000)
    with pytest.raises(ArchiveError) as caught:
        replay(directory, chain, {snapshot(1), snapshot(2), snapshot(3)})
    assert caught.value.details["file"] == chain[day - 1].file
    assert isinstance(caught.value.details["byte"], int)


def test_chains_are_joined_to_as_few_paths_as_there_are_branches(tmp_path: pathlib.Path) -> None:
    directory = volume_directory(tmp_path).path
    full, diff, other = publish(directory, 1), publish(directory, 2, 1), publish(directory, 3, 1)
    found = paths([(full,), (full, diff), (full, other)])
    assert len(found) == 2
    assert {frozenset(wanted) for _path, wanted in found} in (
        {frozenset({snapshot(1), snapshot(2)}), frozenset({snapshot(3)})},
        {frozenset({snapshot(1), snapshot(3)}), frozenset({snapshot(2)})},
    )
    assert replaying._AT_ONCE == 32
