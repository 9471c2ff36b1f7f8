# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run killed before any call leaves everything that was restorable restorable, and the next run finishes."""

from __future__ import annotations

import functools
import os
import pathlib
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.backup_set import BackupSet
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.lock import VolumeLock
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.names import (
    manifest_name,
    name_before_bad,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.proof import (
    Proof,
    load_proof,
    save_proof,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.set_record import Consolidated
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.verify import verify_archive
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.volume_directory import (
    VolumeDirectory,
    describe,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Archive
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._archive import (
    archive_samples as samples,
)
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._archive.crash import (
    killed_before_call,
)


class Steps:
    """Runs a scenario once for each call at which it can die."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self.deaths = 0

    def __iter__(self) -> t.Iterator[tuple[int, pathlib.Path]]:
        while True:
            number = self.deaths + 1
            folder = self._folder / str(number)
            folder.mkdir()
            yield number, folder
            if self.deaths < number:
                return

    def run(self, number: int, work: t.Callable[[], object]) -> None:
        self.deaths += killed_before_call(number, work)


@pytest.fixture
def steps(tmp_path: pathlib.Path, record_property: t.Callable[[str, object], None]) -> t.Iterator[Steps]:
    result = Steps(tmp_path)
    yield result
    record_property("cases", result.deaths)


def contents(directory: VolumeDirectory) -> dict[str, bytes]:
    """Every file by name."""
    return {entry.name: pathlib.Path(entry.path).read_bytes() for entry in os.scandir(directory.path)}


def check_recorded_archives(directory: VolumeDirectory) -> set[str]:
    """Everything that is recorded is good, and nothing is damaged; return the files."""
    inventory = directory.archives(samples.PREFIX)
    assert inventory.problems == ()
    for archive in inventory.archives:
        verify_archive(directory.path, archive)
    return {archive.file for archive in inventory.archives}


def next_run(directory: VolumeDirectory, day: int, base: int | None) -> None:
    """What the next run does about the archive: it cleans up, and makes it if it is not recorded."""
    with VolumeLock(directory.path):
        directory.clean_temporaries()
        recorded = {archive.to.snapshot for archive in directory.archives(samples.PREFIX).archives}
        if samples.snapshot(day) not in recorded:
            samples.publish(directory.path, day, base)


@pytest.mark.parametrize("compression", ["zstd", "none"])
def test_publishing(steps: Steps, compression: str) -> None:
    for number, folder in steps:
        directory = samples.volume_directory(folder)
        first = samples.publish(directory.path, 1)
        before = contents(directory)

        def work(directory: VolumeDirectory = directory) -> None:
            with VolumeLock(directory.path):
                samples.publish(directory.path, 2, 1, compression)

        steps.run(number, work)
        assert first.file in check_recorded_archives(directory)
        assert before.items() <= contents(directory).items()
        next_run(directory, 2, 1)
        assert len(check_recorded_archives(directory)) == 2
        assert directory.archives(samples.PREFIX).temporaries == ()
    assert steps.deaths > 15


def test_publishing_again_over_a_good_archive(steps: Steps) -> None:
    for number, folder in steps:
        directory = samples.volume_directory(folder)
        old = samples.publish(directory.path, 1, seed=99)
        before = contents(directory)

        def work(directory: VolumeDirectory = directory) -> None:
            with VolumeLock(directory.path):
                samples.publish(directory.path, 1)

        steps.run(number, work)
        check_recorded_archives(directory)
        now = contents(directory)
        for file in (old.file, manifest_name(old.file)):
            places = [name for name in now if name == file or name_before_bad(name) == file]
            assert before[file] in [now[name] for name in places], f"{file} lost at call {number}"
        next_run(directory, 1, None)
        assert check_recorded_archives(directory) == {old.file}
    assert steps.deaths > 20


def test_no_manifest_ever_stands_beside_bytes_that_are_not_its_own(steps: Steps) -> None:
    for number, folder in steps:
        directory = samples.volume_directory(folder)
        old = samples.publish(directory.path, 1, seed=99)
        samples.flip(directory.path_of(old), 1000)

        def work(directory: VolumeDirectory = directory) -> None:
            with VolumeLock(directory.path):
                samples.publish(directory.path, 1)

        steps.run(number, work)
        for archive in directory.archives(samples.PREFIX).archives:
            if archive.stored_sha256 != old.stored_sha256:
                verify_archive(directory.path, archive)
    assert steps.deaths > 20


def test_removing(steps: Steps) -> None:
    for number, folder in steps:
        directory = samples.volume_directory(folder)
        stays = samples.publish(directory.path, 1)
        goes = samples.publish(directory.path, 2, 1)

        def work(directory: VolumeDirectory = directory, goes: Archive = goes) -> None:
            with VolumeLock(directory.path):
                directory.remove_archive(goes)

        steps.run(number, work)
        recorded = check_recorded_archives(directory)
        assert stays.file in recorded
        inventory = directory.archives(samples.PREFIX)
        assert inventory.unpublished == (), "an archive on its way out looks like one that lost its manifest"
        with VolumeLock(directory.path):
            directory.clean_temporaries()
        assert check_recorded_archives(directory) == recorded
        left = {name for name in contents(directory) if name.startswith(goes.file)}
        assert left == ({goes.file, manifest_name(goes.file)} if goes.file in recorded else set())
    assert steps.deaths > 8


def test_making_a_set_and_a_volume(steps: Steps) -> None:
    for number, folder in steps:
        path = str(folder / "prod")

        def work(path: str = path) -> VolumeDirectory:
            backup_set, _changed = BackupSet.init(path, samples.FSID, samples.PREFIX, "Europe/Berlin")
            found = backup_set.scan().find(samples.IDENTITY)
            return found or backup_set.create(samples.VOLUME, describe(samples.VOLUME, samples.INFO, {}))

        steps.run(number, work)
        directory = work()
        assert BackupSet.open(path).scan().find(samples.IDENTITY) is not None
        assert os.path.basename(directory.path) == "csi-vol-1--12ab34cd"
    assert steps.deaths > 30


@pytest.mark.parametrize("level", [1, 3])
def test_making_a_volume_again_where_one_was_moved_away(steps: Steps, level: int) -> None:
    for number, folder in steps:
        backup_set, _changed = BackupSet.init(
            str(folder / "prod"), samples.FSID, samples.PREFIX, "Europe/Berlin"
        )
        work = functools.partial(
            backup_set.create, samples.VOLUME, describe(samples.VOLUME, samples.INFO, {})
        )
        key = backup_set.key(work())
        backup_set.record_consolidation({key: Consolidated(samples.NOON, {"daily": 7}, 7)}, "Europe/Berlin")
        os.rename(folder.joinpath("prod", *key.split(os.sep)[:level]), folder / "away")
        steps.run(number, work)
        assert backup_set.scan().problems == ()
        backup_set.check_mounted(samples.VOLUME)
        assert backup_set.key(work()) == key
        hidden = [path for path in folder.glob("prod/**/.*") if path.is_dir()]
        assert hidden == [], "what the killed run left was taken up"
    assert steps.deaths > 15


def test_proofs(steps: Steps) -> None:
    before, after = Proof(), Proof()
    before.retire("gfs-20261101T170000Z", 101, samples.NOON)
    after.retire("gfs-20261102T170000Z", 102, samples.NOON)
    for number, folder in steps:
        save_proof(str(folder), before)
        steps.run(number, functools.partial(save_proof, str(folder), after))
        assert load_proof(str(folder)) in (before, after)
    assert steps.deaths > 5
