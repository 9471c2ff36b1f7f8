# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""gfs_consolidate removes volumes that nobody uses only where each is named, and the preview says so word for word."""

from __future__ import annotations

import os
import signal

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.lock import VolumeLock
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.volume_directory import VolumeDirectory
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.rbd import RbdClient
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import BackupError
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec
from ansible_collections.rbd_backup.gfs.tests.integration import history
from ansible_collections.rbd_backup.gfs.tests.integration.consolidating import run
from ansible_collections.rbd_backup.gfs.tests.integration.history import day, name
from ansible_collections.rbd_backup.gfs.tests.integration.hosts import READ, other_host
from ansible_collections.rbd_backup.gfs.tests.integration.images import Images
from ansible_collections.rbd_backup.gfs.tests.integration.modules import Modules


@pytest.fixture
def spec(modules: Modules, images: Images) -> ImageSpec:
    """An image with four days of history, all backed up."""
    return history.backed_up(images, modules, 4)


def test_volumes_that_no_workload_uses_are_reported_and_go_only_where_they_are_named(
    modules: Modules, images: Images, spec: ImageSpec
) -> None:
    used = images.create(history.SIZE)
    modules.snapshot([used], time=day(3))
    modules.backup([used])
    kept = history.snapshots(images, spec)
    result = run(modules, used)
    (unused,) = result["unused_volumes"]
    assert (unused["image"], unused["archives"], unused["removed"]) == (str(spec), 4, False)
    assert unused["directory"] == str(history.directory_of(modules, spec))
    wanted = {"remove_unused_volumes": [unused["directory"]]}
    assert "volumes_complete" in run(modules, used, **wanted)["msg"]
    assert "not a directory" in run(modules, used, spec, volumes_complete=True, **wanted)["msg"]
    assert history.snapshots(images, spec) == kept
    images.rbd(spec, "snap", "create", "--snap", "csi-snap-other")
    before = history.files(modules), history.snapshots(images, spec)
    preview = run(modules, used, check_mode=True, diff=True, volumes_complete=True, **wanted)
    assert (history.files(modules), history.snapshots(images, spec)) == before
    (entry,) = preview["unused_volumes"]
    assert (len(entry["remove_archives"]), entry["remove_snapshots"]) == (4, kept)
    assert f"{entry['remove_archives'][0]}, " in "\n".join(preview["table"])
    assert f"{unused['directory']} {kept[0]}\n" in preview["diff"]["before"]
    assert unused["directory"] not in preview["diff"]["after"]
    result = run(modules, used, volumes_complete=True, **wanted)
    for key in ("changed", "unused_volumes", "table"):
        assert result[key] == preview[key]
    assert history.snapshots(images, spec) == ["csi-snap-other"]
    assert history.archives(modules) == [f"{name(3)}.full.zst"]
    assert history.snapshots(images, used) == [name(3)]
    last = run(modules, used)
    assert not last["changed"]
    assert not last["unused_volumes"]


def test_where_the_removal_of_a_volume_would_be_refused_the_preview_is_refused_with_the_same_words(
    modules: Modules, images: Images, spec: ImageSpec
) -> None:
    directory = history.volume_directory(modules)
    wanted = {"remove_unused_volumes": [str(directory.relative_to(modules.set_path))]}
    before = history.files(modules), history.snapshots(images, spec)

    def refused(word: str) -> None:
        messages = [
            run(modules, volumes_complete=True, check_mode=check_mode, **wanted)["msg"]
            for check_mode in (True, False)
        ]
        assert messages[0] == messages[1]
        assert word in messages[0]
        assert history.snapshots(images, spec) == before[1]

    with other_host("beta", directory) as beta:
        assert beta.line() == "holds"
        refused("on host beta since")
        beta.go_on()
        beta.ended()
    with other_host("beta", directory, READ) as beta:
        assert beta.line() == "holds"
        refused("being read by pid")
        beta.go_on()
        beta.ended()

    ready, tell = os.pipe()
    child = os.fork()
    if not child:
        with VolumeLock(str(directory)):
            os.write(tell, b"x")
            signal.pause()
    os.read(ready, 1)
    refused(f"in use by another run (pid {child} on host")
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)

    images.rbd(spec, "snap", "protect", "--snap", name(2))
    refused("is protected in Ceph or has clones")
    images.rbd(spec, "snap", "unprotect", "--snap", name(2))

    manifest = directory / f"{name(0)}.full.zst.json"
    good = manifest.read_text()
    manifest.write_text(good.replace('"kind"', '"Kind"'))
    refused("missing or damaged")
    manifest.write_text(good)

    assert history.files(modules) == before[0]
    preview, done = (
        run(modules, volumes_complete=True, check_mode=check, max_snapshot_removals=3, **wanted)
        for check in (True, False)
    )
    assert preview["unused_volumes"] == done["unused_volumes"]
    assert "1 of its snapshots are left" in done["unused_volumes"][0]["note"]
    assert history.snapshots(images, spec) == [name(3)]


@pytest.mark.parametrize("step", ["remove_archive", "remove_snapshot"])
def test_a_removal_that_fails_half_way_says_what_went_and_the_next_run_finishes_it(
    modules: Modules, images: Images, spec: ImageSpec, step: str
) -> None:
    """Fault injection: the second archive, or the second snapshot, cannot be removed."""
    directory = history.volume_directory(modules)
    wanted = {
        "volumes_complete": True,
        "remove_unused_volumes": [str(directory.relative_to(modules.set_path))],
    }
    (preview,) = run(modules, check_mode=True, **wanted)["unused_volumes"]
    of, calls = {"remove_archive": VolumeDirectory, "remove_snapshot": RbdClient}[step], []
    real = getattr(of, step)

    def fails_the_second_time(*arguments: object) -> object:
        calls.append(arguments)
        if len(calls) == 2:
            raise BackupError("It broke.")
        return real(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(of, step, fails_the_second_time)
        result = run(modules, **wanted)
    assert result["failures"][0]["message"] == "It broke."
    assert result["changed"]
    (entry,) = result["unused_volumes"]
    assert not entry["removed"]
    assert set(history.archives(modules)) == set(preview["remove_archives"]) - set(entry["remove_archives"])
    left = [one for one in preview["remove_snapshots"] if one not in entry["remove_snapshots"]]
    assert history.snapshots(images, spec) == left
    assert (len(entry["remove_archives"]), len(entry["remove_snapshots"])) == (
        (1, 0) if step == "remove_archive" else (4, 1)
    )
    assert f"removed until it failed: {entry['remove_archives'][0]}" in "\n".join(result["table"])
    (last,) = run(modules, **wanted)["unused_volumes"]
    assert last["removed"]
    assert entry["remove_archives"] + last["remove_archives"] == preview["remove_archives"]
    assert entry["remove_snapshots"] + last["remove_snapshots"] == preview["remove_snapshots"]
    assert run(modules)["unused_volumes"] == []
