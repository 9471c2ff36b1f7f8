# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A volume's directory: what is recorded, what is wrong, and what is not known."""

from __future__ import annotations

import dataclasses
import datetime as dt
import errno
import os
import pathlib
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.files import (
    atomic_write_json,
    read_json,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.inventory import Inventory
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.lock import VolumeLock
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.names import (
    manifest_name,
    temporary_name,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.problems import (
    DAMAGED,
    MANIFEST,
    MISSING,
    REFUSED,
    UNREADABLE,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.volume_directory import (
    VolumeDirectory,
    describe,
    metadata_at,
    perhaps_needed,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import ArchiveError
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Archive
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._archive import (
    archive_samples as samples,
)


@pytest.fixture
def directory(tmp_path: pathlib.Path) -> VolumeDirectory:
    return samples.volume_directory(tmp_path)


@pytest.fixture
def archives(directory: VolumeDirectory) -> list[Archive]:
    """A full and two diffs."""
    return [samples.publish(directory.path, day, day - 1 or None) for day in (1, 2, 3)]


def rewrite(directory: VolumeDirectory, archive: Archive, **changes: t.Any) -> None:
    """Change fields of a manifest as somebody would who knows about the checksum."""
    path = os.path.join(directory.path, manifest_name(archive.file))
    atomic_write_json(path, {**read_json(path), **changes}, "Nothing.")


def test_an_empty_directory(directory: VolumeDirectory) -> None:
    inventory = directory.archives("gfs")
    assert inventory == Inventory((), (), (), (), (), ())


def test_what_was_published_is_recorded(directory: VolumeDirectory, archives: list[Archive]) -> None:
    assert directory.archives("gfs").archives == tuple(archives)
    assert directory.archives("gfs").problems == ()
    assert directory.archives("gfs-other").archives == ()


def test_volume_json_is_read_back(directory: VolumeDirectory) -> None:
    again = VolumeDirectory.read(directory.path)
    assert (again.identity, again.created) == (samples.IDENTITY, samples.NOON)
    assert again.description == describe(samples.VOLUME, samples.INFO, {"note": "mine"})
    assert again.description["image"]["metadata"] == {"note": "mine"}
    assert again.description["manifests"] == {"claim": {"kind": "PersistentVolumeClaim"}}
    assert str(again) == f"shop/data-db-0 ({directory.path})"


def test_only_workloads_whose_names_stay_are_on_record() -> None:
    users = ("statefulset/db", "pod/x-1", "job/nightly-2", "deployment/web")
    described = describe(dataclasses.replace(samples.VOLUME, users=users), samples.INFO, {})
    assert described["volume"]["workloads"] == ["deployment/web", "statefulset/db"]


def test_the_description_is_written_only_when_it_differs(directory: VolumeDirectory) -> None:
    assert not directory.update_description(describe(samples.VOLUME, samples.INFO, {"note": "mine"}))
    assert directory.update_description(describe(samples.VOLUME, samples.INFO, {"note": "yours"}))
    assert VolumeDirectory.read(directory.path).description["image"]["metadata"] == {"note": "yours"}
    assert VolumeDirectory.read(directory.path).identity == samples.IDENTITY


@pytest.mark.parametrize("length", [0, 1, 1000])
def test_an_archive_of_the_wrong_size(
    directory: VolumeDirectory, archives: list[Archive], length: int
) -> None:
    os.truncate(directory.path_of(archives[1]), length)
    inventory = directory.archives("gfs")
    assert inventory.archives == (archives[0], archives[2])
    assert [(problem.file, problem.kind) for problem in inventory.problems] == [(archives[1].file, DAMAGED)]
    assert f"it has {length} bytes" in inventory.problems[0].message


def test_an_archive_that_is_gone(directory: VolumeDirectory, archives: list[Archive]) -> None:
    os.unlink(directory.path_of(archives[1]))
    inventory = directory.archives("gfs")
    assert inventory.archives == (archives[0], archives[2])
    assert [(problem.file, problem.kind) for problem in inventory.problems] == [(archives[1].file, MISSING)]


def test_an_archive_without_its_manifest(directory: VolumeDirectory, archives: list[Archive]) -> None:
    os.unlink(os.path.join(directory.path, manifest_name(archives[1].file)))
    inventory = directory.archives("gfs")
    assert inventory.archives == (archives[0], archives[2])
    assert inventory.problems == ()
    assert inventory.unpublished == (archives[1].file,)


@pytest.mark.parametrize("trace", ["", ".json", ".bad-20261124T120000Z", ".json.bad-20261124T120000Z-2"])
def test_every_trace_of_an_archive_is_one(
    directory: VolumeDirectory, archives: list[Archive], trace: str
) -> None:
    file = f"{samples.snapshot(9)}.full.zst"
    assert not directory.has_traces(file)
    pathlib.Path(directory.path, file + trace).touch()
    assert directory.has_traces(file)


@pytest.mark.parametrize("position", [0, 50, 700, -3])
def test_a_damaged_manifest(directory: VolumeDirectory, archives: list[Archive], position: int) -> None:
    samples.flip(os.path.join(directory.path, manifest_name(archives[1].file)), position, bit=1)
    inventory = directory.archives("gfs")
    assert inventory.archives == (archives[0], archives[2])
    assert [(problem.file, problem.kind) for problem in inventory.problems] == [(archives[1].file, MANIFEST)]
    assert inventory.unpublished == ()


def test_a_manifest_under_another_name(directory: VolumeDirectory, archives: list[Archive]) -> None:
    source, target = (os.path.join(directory.path, manifest_name(archives[index].file)) for index in (1, 2))
    os.replace(source, target)
    inventory = directory.archives("gfs")
    assert inventory.archives == (archives[0],)
    assert [problem.kind for problem in inventory.problems] == [MANIFEST]
    assert "is the manifest of" in inventory.problems[0].message


@pytest.mark.parametrize(
    "change", [{"image_id": "other"}, {"pool_id": 9}, {"fsid": "x"}, {"rados_namespace": ""}]
)
def test_an_archive_of_another_image(
    directory: VolumeDirectory, archives: list[Archive], change: dict[str, t.Any]
) -> None:
    identity = {"fsid": samples.FSID, "pool_id": 3, "rados_namespace": "tenant", "image_id": "12ab34cd"}
    rewrite(directory, archives[1], identity={**identity, **change})
    inventory = directory.archives("gfs")
    assert inventory.archives == (archives[0], archives[2])
    assert "put there by hand" in inventory.problems[0].message


def test_a_manifest_of_a_later_version_stops_the_volume(
    directory: VolumeDirectory, archives: list[Archive]
) -> None:
    rewrite(directory, archives[1], format=2)
    with pytest.raises(ArchiveError, match="Use the version that wrote it") as caught:
        directory.archives("gfs")
    assert caught.value.details["kind"] == REFUSED


def test_a_link_to_somewhere_else_stops_the_volume(
    directory: VolumeDirectory, archives: list[Archive], tmp_path: pathlib.Path
) -> None:
    os.rename(directory.path_of(archives[0]), tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", directory.path_of(archives[0]))
    with pytest.raises(ArchiveError, match="not a regular file"):
        directory.archives("gfs")


def test_other_files_are_left_alone(directory: VolumeDirectory, archives: list[Archive]) -> None:
    for name in (
        "README",
        "x.json",
        "gfs-1.full.zst",
        ".nfs0001",
        "other-20261101T170000Z.full.zst",
        "a.removing",
    ):
        pathlib.Path(directory.path, name).write_text("mine")
    inventory = directory.archives("gfs")
    assert inventory.archives == tuple(archives)
    assert inventory == Inventory(tuple(archives), (), (), (), (), ())
    mine = ("README", "a.removing", "gfs-1.full.zst", "other-20261101T170000Z.full.zst", "x.json")
    assert directory.foreign(inventory) == mine, "what an NFS client keeps for a while is nobody's"
    directory.clean_temporaries()
    assert pathlib.Path(directory.path, "a.removing").exists()


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.ESTALE])
@pytest.mark.parametrize("call", ["listdir", "open", "lstat"])
def test_what_cannot_be_read_is_not_taken_for_damage(
    directory: VolumeDirectory,
    archives: list[Archive],
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    call: str,
) -> None:
    # fault injection: the call fails for the second archive
    real = getattr(os, call)

    def fail(path: t.Any, *args: t.Any, **options: t.Any) -> t.Any:
        if call == "listdir" or os.path.basename(path).startswith(archives[1].to.snapshot):
            raise OSError(number, os.strerror(number))
        return real(path, *args, **options)

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(ArchiveError) as caught:
        directory.archives("gfs")
    assert caught.value.details["kind"] == UNREADABLE
    assert caught.value.details["errno"] == errno.errorcode[number]


LISTINGS: dict[str, t.Callable[[VolumeDirectory], object]] = {
    "traces": lambda directory: directory.has_traces("x"),
    "leftovers": lambda directory: directory.has_leftovers(),
    "foreign": lambda directory: directory.foreign(Inventory((), (), (), (), (), ())),
    "cleaning": lambda directory: directory.clean_temporaries(),
    "readers": lambda directory: directory.check_removal(),
    "description": lambda directory: directory.remove_description(),
}


@pytest.mark.parametrize("asked", LISTINGS)
def test_a_directory_that_cannot_be_listed_answers_nothing(
    directory: VolumeDirectory, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    # fault injection: the storage does not answer
    def fail(path: str) -> t.NoReturn:
        raise OSError(errno.EIO, "Input/output error")

    with VolumeLock(directory.path):
        monkeypatch.setattr(os, "listdir", fail)
        with pytest.raises(ArchiveError, match="The storage failed"):
            LISTINGS[asked](directory)
    assert os.path.exists(os.path.join(directory.path, "volume.json"))


def test_a_user_without_access_learns_nothing(directory: VolumeDirectory, archives: list[Archive]) -> None:
    os.chmod(os.path.dirname(directory.path), 0o755)
    os.chmod(directory.path, 0o755)
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.seteuid(65534)
        try:
            directory.archives("gfs")
        except ArchiveError as error:
            os.write(writer, error.message.encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with open(reader, "rb") as file:
        message = file.read().decode()
    assert "Permission denied" in message
    assert "Give the user who runs the backup access" in message


def test_a_directory_that_vanishes_while_it_is_read_is_not_an_empty_one(
    directory: VolumeDirectory, archives: list[Archive], monkeypatch: pytest.MonkeyPatch
) -> None:
    # fault injection: after the listing another, empty directory stands in its place, as after an unmount
    listdir = os.listdir

    def unmount(path: str) -> list[str]:
        listed = listdir(path)
        os.rename(path, path + ".away")
        os.mkdir(path)
        return listed

    monkeypatch.setattr(os, "listdir", unmount)
    with pytest.raises(ArchiveError, match="unmounted") as caught:
        directory.archives("gfs")
    assert caught.value.details["kind"] == UNREADABLE


def test_an_archive_that_goes_away_while_a_reader_looks_is_gone(
    directory: VolumeDirectory, archives: list[Archive], monkeypatch: pytest.MonkeyPatch
) -> None:
    # fault injection: a consolidation removes the archive between the listing and the look at it
    lstat = os.lstat

    def removed(path: str) -> os.stat_result:
        if path == directory.path_of(archives[2]):
            monkeypatch.undo()
            directory.remove_archive(archives[2])
        return lstat(path)

    monkeypatch.setattr(os, "lstat", removed)
    inventory = directory.archives("gfs")
    assert inventory.archives == tuple(archives[:2])
    assert inventory.problems == ()


def test_removing_an_archive(directory: VolumeDirectory, archives: list[Archive]) -> None:
    directory.remove_archive(archives[1])
    assert directory.archives("gfs").archives == (archives[0], archives[2])
    assert not [name for name in os.listdir(directory.path) if name.startswith(archives[1].file)]


def test_each_step_of_a_removal_is_durable_before_the_next(
    directory: VolumeDirectory, archives: list[Archive], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = samples.noted_calls(monkeypatch)
    directory.remove_archive(archives[1])
    file = archives[1].file
    steps = [f"rename {file}.removing", f"unlink {file}", f"unlink {file}.removing"]
    assert calls == [call for step in steps for call in (step, "fsync volume")]


def test_what_is_superseded_or_a_temporary_is_gone_for_good_when_that_is_said(
    directory: VolumeDirectory, archives: list[Archive], monkeypatch: pytest.MonkeyPatch
) -> None:
    again = samples.publish(directory.path, 1)
    pathlib.Path(directory.path, temporary_name("volume.json", 1, "0" * 16)).write_text("half")
    calls = samples.noted_calls(monkeypatch)
    directory.remove_superseded(again)
    directory.clean_temporaries()
    superseded = [f"unlink {again.file}.bad", f"unlink {again.file}.json.bad", "fsync volume"]
    assert calls == [*superseded, "unlink temporary", "fsync volume"]


def test_what_is_left_of_a_volume_without_archives_goes_and_volume_json_last(
    directory: VolumeDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    for left in ("x.bad-20261124T120000Z", "proof.json"):
        pathlib.Path(directory.path, left).write_text("left")
    pathlib.Path(directory.path, "notes").write_text("mine")
    calls = samples.noted_calls(monkeypatch)
    directory.remove_description()
    steps = ["unlink x.bad", "unlink proof.json", "unlink volume.json"]
    assert calls == [call for step in steps for call in (step, "fsync volume")]
    assert os.listdir(directory.path) == ["notes"]


def test_a_directory_that_became_another_volumes_is_refused(directory: VolumeDirectory) -> None:
    directory.check_still_there()
    identity = dataclasses.replace(samples.IDENTITY, image_id="another")
    VolumeDirectory(directory.path, identity, directory.description, samples.NOON).save()
    with pytest.raises(ArchiveError, match="replaced by the directory of another volume"):
        directory.check_still_there()
    pathlib.Path(directory.path, "volume.json").unlink()
    with pytest.raises(ArchiveError, match=r"volume\.json"):
        directory.check_still_there()


def test_a_record_is_durable_before_it_takes_the_place_of_the_one_before(
    directory: VolumeDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = samples.noted_calls(monkeypatch)
    directory.save()
    assert calls == ["fsync temporary", "rename volume.json", "fsync volume"]


def test_an_interrupted_removal_is_told_and_finished(
    directory: VolumeDirectory, archives: list[Archive]
) -> None:
    path = directory.path_of(archives[1])
    os.rename(path + ".json", path + ".removing")
    inventory = directory.archives("gfs")
    assert inventory.removing == (archives[1].file,)
    assert (inventory.unpublished, inventory.problems) == ((), ())
    assert directory.has_leftovers()
    assert directory.clean_temporaries() == (archives[1].file,)
    assert not directory.has_leftovers()
    assert not os.path.exists(path)
    assert directory.archives("gfs").removing == ()


def test_a_removal_never_takes_what_was_published_since(
    directory: VolumeDirectory, archives: list[Archive]
) -> None:
    path = directory.path_of(archives[1])
    os.rename(path + ".json", path + ".removing")
    again = samples.publish(directory.path, 2, 1, seed=77)
    directory.clean_temporaries()
    assert again in directory.archives("gfs").archives
    assert directory.archives("gfs").removing == ()


def test_temporaries_of_dead_runs_go(directory: VolumeDirectory, archives: list[Archive]) -> None:
    names = [temporary_name(file, 1, "0" * 16) for file in (archives[0].file, "volume.json")]
    for name in names:
        pathlib.Path(directory.path, name).write_text("half")
    assert directory.archives("gfs").temporaries == tuple(sorted(names))
    assert sorted(directory.clean_temporaries()) == sorted(names)
    assert directory.archives("gfs").archives == tuple(archives)
    assert directory.clean_temporaries() == ()


def test_superseded_files_go_once_their_successor_is_proved(
    directory: VolumeDirectory, archives: list[Archive]
) -> None:
    again = samples.publish(directory.path, 1, seed=9)
    other = samples.publish(directory.path, 2, 1, seed=9)
    assert len(directory.archives("gfs").superseded) == 4
    removed = directory.remove_superseded(again)
    assert len(removed) == 2
    assert directory.archives("gfs").superseded == tuple(
        sorted(name for name in os.listdir(directory.path) if ".bad-" in name)
    )
    assert all(name.startswith(other.file) for name in directory.archives("gfs").superseded)
    assert set(directory.archives("gfs").archives) == {again, other, archives[2]}


@pytest.mark.parametrize(
    "change",
    [
        {"identity": {}},
        {"identity": None},
        {"volume": {}},
        {"manifests": []},
        {"created": "x"},
        {"format": "1"},
    ],
)
def test_a_volume_json_that_lacks_something(directory: VolumeDirectory, change: dict[str, t.Any]) -> None:
    path = os.path.join(directory.path, "volume.json")
    atomic_write_json(path, {**read_json(path), **change}, "Nothing.")
    with pytest.raises(ArchiveError, match=r"volume\.json cannot be used") as caught:
        VolumeDirectory.read(directory.path)
    assert caught.value.details["kind"] == DAMAGED


def test_removing_without_access_says_what_remains(
    directory: VolumeDirectory, archives: list[Archive], monkeypatch: pytest.MonkeyPatch
) -> None:
    # fault injection: the archive cannot be unlinked
    def fail(path: str) -> t.NoReturn:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "unlink", fail)
    with pytest.raises(ArchiveError, match="goes with the next run"):
        directory.remove_archive(archives[1])
    monkeypatch.undo()
    assert directory.clean_temporaries() == (archives[1].file,)


def test_the_key_of_an_encrypted_image_is_kept_for_the_restore_points_that_need_it(
    tmp_path: pathlib.Path,
) -> None:
    path = str(tmp_path)
    dek = "rbd.csi.ceph.com/dek"
    directory = VolumeDirectory(path, samples.IDENTITY, description("first", dek), samples.NOON)
    hour = dt.timedelta(hours=1)
    assert not directory.update_description(description("first", dek), samples.NOON)
    assert directory.update_description(description("second", dek), samples.NOON)
    assert not directory.update_description(description("second", dek), samples.NOON + hour)
    assert directory.update_description(description("third", dek), samples.NOON + 2 * hour)
    directory = VolumeDirectory.read(path)
    keys = [metadata_at(directory.description, samples.NOON + hours * hour) for hours in range(-1, 4)]
    assert [key[dek] for key in keys] == ["first", "first", "second", "second", "third"]
    assert {key["note"] for key in keys} == {"third"}


def test_between_the_last_restore_point_with_a_key_and_the_run_that_saw_another_either_may_be_needed(
    tmp_path: pathlib.Path,
) -> None:
    dek, hour = "rbd.csi.ceph.com/dek", dt.timedelta(hours=1)
    directory = VolumeDirectory(str(tmp_path), samples.IDENTITY, description("first", dek), samples.NOON)
    noticed = dt.datetime.now(dt.timezone.utc).replace(microsecond=0)
    directory.update_description(description("second", dek), noticed - 2 * hour)
    times = [noticed - 2 * hour, noticed - hour, noticed + hour]
    needed = [perhaps_needed(directory.description, time) for time in times]
    assert needed == [{}, {dek: "first"}, {}]
    del directory.description["image"]["former_keys"][0]["noticed"]
    assert perhaps_needed(directory.description, times[1]) == {}


def test_a_key_that_another_run_has_put_aside_stays(tmp_path: pathlib.Path) -> None:
    dek, hour = "rbd.csi.ceph.com/dek", dt.timedelta(hours=1)
    VolumeDirectory(str(tmp_path), samples.IDENTITY, description("first", dek), samples.NOON).save()
    late, other = (VolumeDirectory.read(str(tmp_path)) for _run in range(2))
    other.update_description(description("second", dek), samples.NOON)
    late.check_still_there()
    late.update_description(description("third", dek), samples.NOON + hour)
    keys = [metadata_at(late.description, samples.NOON + hours * hour)[dek] for hours in range(3)]
    assert keys == ["first", "second", "third"]


def test_a_key_that_no_restore_point_needs_is_not_kept(tmp_path: pathlib.Path) -> None:
    dek = ".rbd.csi.ceph.com/dek"
    directory = VolumeDirectory(str(tmp_path), samples.IDENTITY, description("first", dek), samples.NOON)
    assert directory.update_description(description("second", dek))
    assert "former_keys" not in directory.description["image"]


def description(value: str, key: str) -> dict[str, t.Any]:
    return describe(samples.VOLUME, samples.INFO, {"note": value, key: value})
