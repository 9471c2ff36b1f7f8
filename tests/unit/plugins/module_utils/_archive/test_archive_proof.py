# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""proof.json: what was proved, what is retired, what is pinned."""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
import pathlib
import shutil
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.chain import chain, joined_by_name
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.files import (
    atomic_write_json,
    read_json,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.inventory import Inventory
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.proof import (
    Pin,
    Proof,
    load_proof,
    save_proof,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import ArchiveError
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Archive
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._archive import (
    archive_samples as samples,
)

LATER = samples.NOON + dt.timedelta(days=1)
DIGEST = "d" * 64


@pytest.fixture
def proof(tmp_path: pathlib.Path) -> Proof:
    result = Proof()
    result.record_hashed(samples.publish(tmp_path, 1), samples.NOON)
    result.record_replayed(samples.state(1), DIGEST, samples.NOON)
    result.record_compared([samples.publish(tmp_path, 4, 3), samples.publish(tmp_path, 3, 4)], 103, LATER)
    result.retire(samples.snapshot(5), 105, samples.NOON)
    result.pins[samples.snapshot(1)] = Pin(samples.snapshot(1), "before the migration", samples.NOON)
    return result


def test_no_file_is_an_empty_record(tmp_path: pathlib.Path) -> None:
    assert load_proof(str(tmp_path)) == Proof()


def test_a_directory_that_is_gone_is_not(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ArchiveError, match="No such file"):
        load_proof(str(tmp_path / "unmounted"))


def test_what_is_saved_is_loaded_and_saved_only_when_it_differs(tmp_path: pathlib.Path, proof: Proof) -> None:
    assert save_proof(str(tmp_path), proof)
    assert load_proof(str(tmp_path)) == proof
    assert not save_proof(str(tmp_path), load_proof(str(tmp_path)))
    assert os.stat(tmp_path / "proof.json").st_mode & 0o7777 == 0o600


def test_fractions_of_a_second_are_no_difference(tmp_path: pathlib.Path) -> None:
    proof = Proof()
    proof.retire("x", 1, samples.NOON.replace(microsecond=5))
    assert save_proof(str(tmp_path), proof)
    assert not save_proof(str(tmp_path), proof)


def test_a_hash_belongs_to_the_bytes_and_not_to_the_name(tmp_path: pathlib.Path, proof: Proof) -> None:
    (hashed,) = [samples.publish(tmp_path, 1)]
    assert proof.hashed_at(hashed) == samples.NOON
    assert proof.hashed_at(dataclasses.replace(hashed, stored_sha256="0" * 64)) is None
    assert proof.hashed_at(dataclasses.replace(hashed, file="other")) is None


def test_a_digest_belongs_to_the_snapshot_and_not_to_its_name(proof: Proof) -> None:
    assert proof.image_digest(samples.state(1)) == DIGEST
    assert proof.image_digest(samples.state(2)) is None
    assert proof.image_digest(dataclasses.replace(samples.state(1), snapshot_id=999)) is None


def test_a_comparison_belongs_to_the_snapshot(tmp_path: pathlib.Path, proof: Proof) -> None:
    full, diff = samples.state(1), samples.state(2)
    proof.record_compared([samples.publish(tmp_path, 1)], 101, samples.NOON)
    assert proof.compared_at(full) == samples.NOON
    assert proof.compared_at(dataclasses.replace(full, snapshot_id=None)) == samples.NOON
    assert proof.compared_at(dataclasses.replace(full, snapshot_id=999)) is None
    assert proof.compared_at(diff) is None
    proof.forget_compared(full.snapshot)
    assert proof.compared_at(full) is None


def _nameless(archive: Archive) -> Archive:
    """As a rebuilt manifest has it."""
    base = archive.base and dataclasses.replace(archive.base, snapshot_id=None)
    return dataclasses.replace(archive, to=dataclasses.replace(archive.to, snapshot_id=None), base=base)


def _identified(proof: Proof, *archives: Archive) -> tuple[Archive, ...]:
    return proof.identify(Inventory(archives, (), (), (), (), ())).archives


def test_a_comparison_gives_the_archives_that_were_compared_their_ids_back(tmp_path: pathlib.Path) -> None:
    proof = Proof()
    known = samples.publish(tmp_path, 1), samples.publish(tmp_path, 2, 1)
    lost = tuple(map(_nameless, known))
    proof.record_compared(known, 102, samples.NOON)
    assert _identified(proof, *lost)[1].to == samples.state(2)
    assert _identified(proof, *lost)[1].base == lost[1].base, "nothing tells that of its base"
    assert _identified(proof, known[0], lost[1]) == known, "its base has kept its own"
    proof.record_compared(known[:1], 101, samples.NOON)
    assert _identified(proof, *lost) == known
    assert _identified(Proof.from_json(proof.to_json(), "proof.json"), *lost) == known


def test_an_archive_of_another_snapshot_of_that_name_never_gets_the_ids_of_the_compared_one(
    tmp_path: pathlib.Path,
) -> None:
    first, diff, again, last = (
        samples.publish(tmp_path, 1),
        samples.publish(tmp_path, 2, 1),
        samples.publish(tmp_path, 2, seed=9),  # the snapshot was removed and made again under its name
        samples.publish(tmp_path, 3, 2),
    )
    proof = Proof()
    proof.record_compared([first], 101, samples.NOON)
    proof.record_compared([again], 102, samples.NOON)
    there = _identified(proof, first, _nameless(diff), last)
    found = chain(there, samples.snapshot(3))
    assert found
    assert joined_by_name(found) == (samples.snapshot(1), samples.snapshot(2)), "that one is lost"


def test_a_comparison_of_before_its_archives_were_noted_is_read_and_gives_no_ids(
    tmp_path: pathlib.Path,
) -> None:
    archive = samples.publish(tmp_path, 1)
    proof = Proof()
    proof.record_compared([archive], 101, samples.NOON)
    content = proof.to_json()
    for key in ("archive", "base"):
        del content["compared"][archive.to.snapshot][key]
    read = Proof.from_json(content, "proof.json")
    assert read.compared_at(archive.to) == samples.NOON
    assert _identified(read, _nameless(archive)) == (_nameless(archive),)


def test_a_replay_belongs_to_the_snapshot_and_not_to_its_name(proof: Proof) -> None:
    assert proof.replayed_at(samples.state(1)) == samples.NOON
    assert proof.replayed_at(samples.state(2)) is None
    assert proof.replayed_at(dataclasses.replace(samples.state(1), snapshot_id=999)) is None


def test_what_was_found_damaged_is_proved_no_more(tmp_path: pathlib.Path, proof: Proof) -> None:
    archive = samples.publish(tmp_path, 1)
    proof.forget_hashed(archive.file)
    assert proof.hashed_at(archive) is None


def test_a_digest_from_before_the_id_was_lost_counts_and_one_from_after_it_does_not(proof: Proof) -> None:
    nameless, other = (dataclasses.replace(samples.state(day), snapshot_id=None) for day in (1, 2))
    assert proof.image_digest(nameless) == DIGEST
    proof.record_replayed(nameless, DIGEST, LATER)
    assert proof.replayed_at(samples.state(1)) == LATER
    assert proof.image_digest(samples.state(1)) == DIGEST
    proof.record_replayed(other, DIGEST, LATER)
    assert proof.replayed_at(other) == LATER
    assert proof.image_digest(other) is None


def test_retiring_keeps_the_first_date_and_ends_when_the_snapshot_is_gone(proof: Proof) -> None:
    proof.retire(samples.snapshot(5), 105, LATER)
    proof.retire(samples.snapshot(6), 106, LATER)
    assert {number: entry.since for number, entry in proof.retired.items()} == {105: samples.NOON, 106: LATER}
    proof.forget_retired([105, 4711])
    assert list(proof.retired) == [106]


def test_proofs_of_what_is_gone_go_and_pins_stay(tmp_path: pathlib.Path, proof: Proof) -> None:
    there = samples.publish(tmp_path, 1)
    proof.record_compared([there], 101, samples.NOON)
    proof.forget_missing([there])
    assert (len(proof.hashed), len(proof.replayed), len(proof.compared)) == (1, 1, 1)
    proof.forget_missing([samples.publish(tmp_path, 2, 1)])
    assert (proof.hashed, proof.replayed, proof.compared) == ({}, {}, {})
    assert list(proof.pins) == [samples.snapshot(1)]
    assert list(proof.retired) == [105]


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"hashed": []},
        {"hashed": {"x": {"stored_sha256": "1", "at": "2026-11-24T12:00:00Z"}}},
        {"image_digests": None},
        {"image_digests": {"x": {"digest": DIGEST, "at": "2026-11-24T12:00:00Z"}}},
        {"retired": {}},
        {"retired": [{"snapshot": "x", "id": None, "since": "2026-11-24T12:00:00Z"}]},
        {"retired": ["x"]},
        {"pins": [{"snapshot": "x", "reason": 1, "since": "2026-11-24T12:00:00Z"}]},
        {"pins": [{"snapshot": "x", "reason": "", "since": ""}]},
    ],
)
def test_what_cannot_be_trusted_is_not_taken_for_empty(
    tmp_path: pathlib.Path, proof: Proof, change: dict[str, t.Any]
) -> None:
    path = str(tmp_path / "proof.json")
    save_proof(str(tmp_path), proof)
    atomic_write_json(path, {**read_json(path), **change}, "Nothing.")
    for attempt in (lambda: load_proof(str(tmp_path)), lambda: save_proof(str(tmp_path), proof)):
        with pytest.raises(ArchiveError, match=r"proof\.json"):
            attempt()


def test_a_damaged_record_stops_the_volume(tmp_path: pathlib.Path, proof: Proof) -> None:
    save_proof(str(tmp_path), proof)
    samples.flip(tmp_path / "proof.json", 100)
    with pytest.raises(ArchiveError, match="damaged"):
        load_proof(str(tmp_path))
    shutil.rmtree(tmp_path)
