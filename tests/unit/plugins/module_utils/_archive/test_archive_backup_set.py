# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The backup set: made only on request, refused when it is not the right one; volumes found by identity."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import errno
import os
import pathlib
import shutil
import time
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive import backup_set as under_test
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive import files
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.backup_set import BackupSet
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.files import (
    atomic_write_json,
    read_json,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.lock import VolumeLock
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.set_record import Consolidated
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.volume_directory import (
    VolumeDirectory,
    describe,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import (
    ArchiveError,
    InvalidInput,
    LockedError,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Identity, ImageSpec, Volume
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._archive import (
    archive_samples as samples,
)

ZONE = "Europe/Berlin"


@pytest.fixture
def path(tmp_path: pathlib.Path) -> str:
    return str(tmp_path / "prod")


@pytest.fixture
def backup_set(path: str) -> BackupSet:
    return BackupSet.init(path, samples.FSID, "gfs", ZONE)[0]


def create(backup_set: BackupSet, volume: Volume = samples.VOLUME) -> VolumeDirectory:
    return backup_set.create(volume, describe(volume, samples.INFO, {}))


def volume(image_id: str = "1", **changes: t.Any) -> Volume:
    identity = dataclasses.replace(samples.IDENTITY, image_id=image_id)
    return dataclasses.replace(samples.VOLUME, identity=identity, **changes)


@pytest.mark.parametrize("umask", [0, 0o777])
def test_init_makes_a_set_once(path: str, umask: int) -> None:
    mask = os.umask(umask)
    try:
        made, changed = BackupSet.init(path, samples.FSID, "gfs", ZONE)
    finally:
        os.umask(mask)
    assert changed
    assert (made.fsid, made.prefix, made.timezone, made.consolidated) == (
        samples.FSID,
        "gfs",
        ZONE,
        {},
    )
    assert os.stat(path).st_mode & 0o7777 == 0o700
    assert os.stat(os.path.join(path, "backup-set.json")).st_mode & 0o7777 == 0o600
    again, changed = BackupSet.init(path, samples.FSID, "gfs", ZONE)
    assert not changed
    assert again.set_id == made.set_id
    assert BackupSet.open(path, samples.FSID).created == made.created


@pytest.mark.parametrize("relative", ["prod", "./prod/"])
def test_a_relative_path(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, relative: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert BackupSet.init(relative, samples.FSID, "gfs", ZONE)[0].path == str(tmp_path / "prod")
    assert BackupSet.open(relative).path == str(tmp_path / "prod")


def test_two_that_make_a_set_in_the_same_instant_make_one(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[BackupSet] = []

    def other_was_first(place: str) -> bool:
        monkeypatch.undo()
        made.append(BackupSet.init(place, samples.FSID, "gfs", ZONE)[0])
        return False

    monkeypatch.setattr(under_test, "make_directory", other_was_first)
    mine, changed = BackupSet.init(path, samples.FSID, "gfs", ZONE)
    assert not changed
    assert mine.set_id == made[0].set_id == BackupSet.open(path).set_id


def test_what_a_dead_run_was_writing_goes_with_the_next_record(path: str, backup_set: BackupSet) -> None:
    left = pathlib.Path(path, ".tmp-1-0123456789abcdef-backup-set.json")
    left.write_text("half")
    backup_set.record_consolidation({}, ZONE)
    assert not left.exists()


def test_check_mode_writes_nothing(path: str) -> None:
    planned, changed = BackupSet.init(path, samples.FSID, "gfs", ZONE, check_mode=True)
    assert changed
    assert planned.scan().volumes == ()
    assert not os.path.exists(path)


def test_an_unmounted_share_is_not_taken_for_a_set(path: str, backup_set: BackupSet) -> None:
    for where in (os.path.dirname(path), path + "x"):
        with pytest.raises(ArchiveError, match=r"looks exactly like an empty backup.*init: true") as caught:
            BackupSet.open(where)
        assert caught.value.details["kind"] == "missing"


def test_init_does_not_make_the_parent(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ArchiveError, match="absent is not there"):
        BackupSet.init(str(tmp_path / "absent" / "prod"), samples.FSID, "gfs", ZONE)
    assert os.listdir(tmp_path) == []


def test_another_set_is_refused(path: str, backup_set: BackupSet) -> None:
    with pytest.raises(ArchiveError, match="another fsid") as caught:
        BackupSet.open(path, "other")
    assert caught.value.details["kind"] == "refused"
    for fsid, prefix, words in (("other", "gfs", "another fsid"), (samples.FSID, "other", "another prefix")):
        with pytest.raises(ArchiveError, match=words):
            BackupSet.init(path, fsid, prefix, ZONE)


def test_init_with_another_zone_is_refused(path: str, backup_set: BackupSet) -> None:
    with pytest.raises(ArchiveError, match="another timezone"):
        BackupSet.init(path, samples.FSID, "gfs", "UTC")


def test_a_prefix_that_cannot_be(path: str) -> None:
    with pytest.raises(InvalidInput):
        BackupSet.init(path, samples.FSID, "a/b", ZONE)
    assert not os.path.exists(path)


def test_a_damaged_record_is_not_replaced(path: str, backup_set: BackupSet) -> None:
    samples.flip(os.path.join(path, "backup-set.json"), 40)
    for attempt in (
        lambda: BackupSet.open(path),
        lambda: BackupSet.init(path, samples.FSID, "gfs", ZONE),
    ):
        with pytest.raises(ArchiveError, match="damaged"):
            attempt()


@pytest.mark.parametrize("key", ["set_id", "fsid", "prefix", "timezone", "created", "consolidated", "format"])
def test_a_record_that_lacks_something(path: str, backup_set: BackupSet, key: str) -> None:
    file = os.path.join(path, "backup-set.json")
    content = read_json(file)
    del content[key]
    atomic_write_json(file, content, "Nothing.")
    with pytest.raises(ArchiveError, match=key):
        BackupSet.open(path)


def test_a_lost_record_can_be_made_again_for_the_same_cluster_only(path: str, backup_set: BackupSet) -> None:
    create(backup_set)
    os.unlink(os.path.join(path, "backup-set.json"))
    with pytest.raises(ArchiveError, match="belongs to the Ceph cluster"):
        BackupSet.init(path, "other", "gfs", ZONE)
    assert not os.path.exists(os.path.join(path, "backup-set.json"))
    assert BackupSet.init(path, samples.FSID, "gfs", ZONE)[1]


def test_a_consolidation_is_recorded(path: str, backup_set: BackupSet) -> None:
    policy = {"daily": 7, "weekly": 4, "monthly": 3, "weekly_day": "sunday"}
    first, other = Consolidated(samples.NOON, policy, 14), Consolidated(samples.NOON, policy, 0)
    backup_set.record_consolidation({"a/b/c": first, "a/b/d": other}, ZONE)
    later = Consolidated(samples.NOON, {**policy, "daily": 8}, 13)
    backup_set.record_consolidation({"a/b/c": later}, "UTC")
    for one in (backup_set, BackupSet.open(path)):
        assert one.consolidated == {"a/b/c": later, "a/b/d": other}
        assert (one.timezone, one.prefix) == ("UTC", "gfs")


def test_another_prefix_is_recorded_by_a_consolidation_alone(path: str, backup_set: BackupSet) -> None:
    other = backup_set.about("other")
    assert (other.prefix, other.recorded_prefix, BackupSet.open(path).prefix) == ("other", "gfs", "gfs")
    other.record_consolidation({}, ZONE)
    assert (other.recorded_prefix, BackupSet.open(path).prefix) == ("other", "other")


def test_two_runs_do_not_record_at_the_same_time(path: str, backup_set: BackupSet) -> None:
    with VolumeLock(path), pytest.raises(LockedError):
        backup_set.record_consolidation({}, ZONE)


def test_a_volume_is_found_by_identity_wherever_it_lies(path: str, backup_set: BackupSet) -> None:
    made = create(backup_set)
    assert backup_set.key(made) == "shop/data-db-0/csi-vol-1--12ab34cd"
    for parent in ("shop", "shop/data-db-0", "shop/data-db-0/csi-vol-1--12ab34cd"):
        assert os.stat(os.path.join(path, parent)).st_mode & 0o7777 == 0o700
    os.makedirs(os.path.join(path, "moved by hand/x"))
    os.rename(made.path, os.path.join(path, "moved by hand/x/y"))
    found = backup_set.scan().find(samples.IDENTITY)
    assert found is not None
    assert backup_set.key(found) == "moved by hand/x/y"


@pytest.mark.parametrize("change", [{"pool_id": 4}, {"rados_namespace": ""}, {"image_id": "12ab34ce"}])
def test_another_identity_is_another_volume(backup_set: BackupSet, change: dict[str, t.Any]) -> None:
    create(backup_set)
    assert backup_set.scan().find(dataclasses.replace(samples.IDENTITY, **change)) is None


def test_a_claim_made_again_gets_a_directory_of_its_own(backup_set: BackupSet) -> None:
    first, second = create(backup_set), create(backup_set, volume("99"))
    assert os.path.dirname(first.path) == os.path.dirname(second.path)
    assert backup_set.scan().find(samples.IDENTITY) is not None
    assert len(backup_set.scan().volumes) == 2


def test_the_same_path_for_two_identities_becomes_two_paths(backup_set: BackupSet) -> None:
    made = [
        create(
            backup_set, dataclasses.replace(samples.VOLUME, identity=Identity(samples.FSID, pool, "", "1"))
        )
        for pool in (1, 2, 3, 2)
    ]
    names = [os.path.basename(directory.path) for directory in made]
    assert names == ["csi-vol-1--1", "csi-vol-1--1--2", "csi-vol-1--1--3", "csi-vol-1--1--2"]


@pytest.mark.parametrize(
    "name", ["../../../../etc/x", "..", "/etc/passwd", "-rf", "a\0b", "x" * 400, "lost+found", ""]
)
def test_hostile_names_stay_inside(backup_set: BackupSet, path: str, name: str) -> None:
    hostile = Volume(name, name, ImageSpec("rbd", "", name), Identity(samples.FSID, 1, "", name or "1"))
    made = create(backup_set, hostile)
    assert os.path.realpath(made.path).startswith(path + os.sep)
    assert len(backup_set.key(made).split(os.sep)) == 3
    found = backup_set.scan().find(made.identity)
    assert found is not None
    assert found.path == made.path


@pytest.mark.parametrize("identity", [None, Identity("other", 3, "tenant", "1")])
def test_a_volume_of_another_cluster_is_refused(
    backup_set: BackupSet, path: str, identity: Identity | None
) -> None:
    with pytest.raises(ArchiveError, match="cannot be kept in"):
        create(backup_set, dataclasses.replace(samples.VOLUME, identity=identity))
    assert backup_set.scan().volumes == ()
    assert sorted(os.listdir(path)) == [".lock", "backup-set.json"]


def test_two_directories_of_one_volume_are_refused(backup_set: BackupSet, path: str) -> None:
    made = create(backup_set)
    shutil.copytree(made.path, made.path + "-copy")
    with pytest.raises(ArchiveError, match="more than one directory") as caught:
        backup_set.scan().find(samples.IDENTITY)
    assert len(caught.value.details["paths"]) == 2


def test_two_runs_do_not_make_a_volume_at_the_same_time(backup_set: BackupSet) -> None:
    with VolumeLock(create(backup_set).path), pytest.raises(LockedError):
        create(backup_set)


def test_where_a_directory_cannot_be_identified_no_second_chain_begins(backup_set: BackupSet) -> None:
    good, damaged = create(backup_set), create(backup_set, volume("2"))
    samples.flip(os.path.join(damaged.path, "volume.json"), 60)
    scan = backup_set.scan()
    found = scan.find(samples.IDENTITY)
    assert found is not None
    assert found.path == good.path
    assert [problem.file for problem in scan.problems] == [backup_set.key(damaged)]
    for identity in (damaged.identity, dataclasses.replace(samples.IDENTITY, image_id="new")):
        with pytest.raises(ArchiveError, match="no second chain was begun"):
            scan.find(identity)


def test_a_volume_json_of_a_later_version_is_not_passed_over(backup_set: BackupSet) -> None:
    file = os.path.join(create(backup_set).path, "volume.json")
    atomic_write_json(file, {**read_json(file), "format": 2}, "Nothing.")
    with pytest.raises(ArchiveError, match="Use the version that wrote it"):
        backup_set.scan()


def test_archives_without_volume_json_are_a_problem(backup_set: BackupSet) -> None:
    made = create(backup_set)
    samples.publish(made.path, 1)
    os.unlink(os.path.join(made.path, "volume.json"))
    assert "has no volume.json" in backup_set.scan().problems[0].message
    with pytest.raises(ArchiveError, match="holds files but no"):
        create(backup_set)


def test_an_interrupted_creation_is_no_problem(backup_set: BackupSet) -> None:
    made = create(backup_set)
    os.rename(
        os.path.join(made.path, "volume.json"), os.path.join(made.path, ".tmp-1-0123456789abcdef-volume.json")
    )
    assert (backup_set.scan().volumes, backup_set.scan().problems) == ((), ())
    assert create(backup_set).path == made.path


def test_a_link_is_not_followed(backup_set: BackupSet, path: str, tmp_path: pathlib.Path) -> None:
    made = create(backup_set)
    os.rename(made.path, tmp_path / "other disk")
    os.symlink(tmp_path / "other disk", made.path)
    scan = backup_set.scan()
    assert scan.volumes == ()
    assert "is a symbolic link" in scan.problems[0].message
    with pytest.raises(ArchiveError):
        scan.find(samples.IDENTITY)


def test_a_link_to_a_disk_that_is_not_mounted_is_a_problem_too(backup_set: BackupSet, path: str) -> None:
    os.symlink("/nowhere", os.path.join(path, "shop"))
    assert "is a symbolic link" in backup_set.scan().problems[0].message


@pytest.mark.parametrize("call", ["mkdir", "chmod", "rename"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_another_host_makes_the_directory_in_the_same_instant(
    backup_set: BackupSet, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    real, until_then = getattr(os, call), iter(range(1, number))

    def late(*arguments: t.Any, **options: t.Any) -> t.Any:
        if next(until_then, None) is None:
            monkeypatch.setattr(os, call, real)
            with contextlib.suppress(LockedError):  # we hold it already
                create(BackupSet.open(backup_set.path))
        return real(*arguments, **options)

    monkeypatch.setattr(os, call, late)
    made = create(backup_set)
    assert getattr(os, call) is real
    assert made.identity == samples.IDENTITY
    assert [volume.path for volume in backup_set.scan().volumes] == [made.path]


def test_a_directory_whose_name_may_not_outlast_a_power_cut_is_not_taken_for_made(
    backup_set: BackupSet, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, namespace = files.sync_directory, os.path.join(path, "shop")

    def sync(directory: str) -> None:
        if directory == path and os.path.exists(namespace):
            raise OSError(errno.EIO, "the disk fails")
        real(directory)

    monkeypatch.setattr(files, "sync_directory", sync)
    with pytest.raises(ArchiveError, match="the disk fails"):
        create(backup_set)
    assert backup_set.scan().volumes == ()


@pytest.mark.parametrize("level", [1, 3])
def test_an_empty_directory_where_a_volume_was_is_a_disk_that_is_not_mounted(
    backup_set: BackupSet, path: str, tmp_path: pathlib.Path, level: int
) -> None:
    key = backup_set.key(create(backup_set))
    mount_point = os.path.join(path, *key.split(os.sep)[:level])
    record = Consolidated(samples.NOON, {"daily": 7}, 7)
    backup_set.record_consolidation({key: record}, ZONE)
    os.rename(mount_point, tmp_path / "disk")
    os.mkdir(mount_point)
    with pytest.raises(ArchiveError, match="not mounted"):
        backup_set.check_mounted(samples.VOLUME)
    with pytest.raises(ArchiveError, match="not mounted"):
        create(backup_set)
    assert os.listdir(mount_point) == []
    backup_set.check_mounted(volume("2", namespace="other"))
    create(backup_set, volume("2", namespace="other"))
    os.rmdir(mount_point)
    create(backup_set)


def test_a_namespace_that_another_thread_has_just_made_is_no_mount_point(
    backup_set: BackupSet, path: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = backup_set.key(create(backup_set))
    backup_set.record_consolidation({key: Consolidated(samples.NOON, {"daily": 7}, 7)}, ZONE)
    os.rename(os.path.join(path, key.split(os.sep)[0]), tmp_path / "away")
    make_directory = under_test.make_directory

    def slowly(place: str) -> bool:
        made = make_directory(place)
        time.sleep(0.05)
        return made

    monkeypatch.setattr(under_test, "make_directory", slowly)
    found = [volume(str(number), claim=f"data-{number}") for number in range(4)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda one: create(backup_set, one), found))
    assert [directory.identity for directory in made] == [one.identity for one in found]


def test_a_volume_that_was_removed_or_moved_away_may_come_back(
    backup_set: BackupSet, tmp_path: pathlib.Path
) -> None:
    directory = create(backup_set)
    record = Consolidated(samples.NOON, {"daily": 7}, 7)
    backup_set.record_consolidation({backup_set.key(directory): record}, ZONE)
    with VolumeLock(directory.path):
        directory.remove_description()
    assert create(backup_set).path == directory.path
    os.rename(directory.path, tmp_path / "away")
    assert create(backup_set).path == directory.path


def test_what_a_file_system_brings_along_is_no_problem(backup_set: BackupSet, path: str) -> None:
    os.makedirs(os.path.join(path, "notes/empty"))
    for above in ("", "notes", "notes/a disk"):
        for name in ("lost+found", ".snapshot"):
            os.makedirs(os.path.join(path, above, name))
            pathlib.Path(path, above, name, "#12").write_text("found")
    pathlib.Path(path, "notes", "README").write_text("mine")
    assert backup_set.scan().problems == ()


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.ESTALE])
def test_what_cannot_be_read_is_not_taken_for_absent(
    backup_set: BackupSet, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    # fault injection: the directory above a volume cannot be listed
    made = create(backup_set)
    real = os.scandir

    def fail(path: t.Any, *args: t.Any, **options: t.Any) -> t.Any:
        if path == os.path.dirname(made.path):
            raise OSError(number, os.strerror(number))
        return real(path, *args, **options)

    monkeypatch.setattr(os, "scandir", fail)
    with pytest.raises(ArchiveError) as caught:
        backup_set.scan()
    assert caught.value.details["kind"] == "unreadable"


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.ESTALE])
def test_a_volume_that_cannot_be_read_stops_itself_alone(
    backup_set: BackupSet, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    # fault injection: the description of one volume cannot be opened
    made = create(backup_set)
    other = dataclasses.replace(samples.IDENTITY, image_id="other")
    create(backup_set, dataclasses.replace(samples.VOLUME, identity=other, claim="other"))
    real = os.open

    def fail(path: t.Any, *args: t.Any, **options: t.Any) -> t.Any:
        if path == os.path.join(made.path, "volume.json"):
            raise OSError(number, os.strerror(number))
        return real(path, *args, **options)

    monkeypatch.setattr(os, "open", fail)
    found = backup_set.scan()
    assert [problem.kind for problem in found.problems] == ["unreadable"]
    assert found.find(other)
    with pytest.raises(ArchiveError, match="one of them could be it"):
        found.find(samples.IDENTITY)
