# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rbd_export_diff when its time is over: nothing starts, what runs is cancelled, and what is left is told."""

from __future__ import annotations

import os
import signal

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.deadline import Deadline
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.publish import ArchiveWriter
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.writer import DiffWriter
from ansible_collections.rbd_backup.gfs.tests.integration import history
from ansible_collections.rbd_backup.gfs.tests.integration.history import name
from ansible_collections.rbd_backup.gfs.tests.integration.images import MIB, Images
from ansible_collections.rbd_backup.gfs.tests.integration.modules import Modules
from ansible_collections.rbd_backup.gfs.tests.integration.processes import about, eventually, rbd_about


def test_a_run_without_time_exports_nothing_tells_what_is_pending_and_the_next_one_does_it(
    modules: Modules, images: Images
) -> None:
    old, new = images.create(history.SIZE), images.create(history.SIZE)
    history.live(images, modules, old, [0])
    history.age(images, old, [1, 2])
    history.age(images, new, [2])
    before = history.files(modules)
    for options in ({"max_duration": 0}, {"stop_at": "2026-01-01T00:00:00", "stop_grace": 10**9}):
        result = modules.backup([old, new], **options)
        assert result["failed"]
        assert not result["changed"]
        assert [(item["image"], item["snapshots"]) for item in result["pending"]] == [
            (str(old), [name(1), name(2)]),
            (str(new), [name(2)]),
        ]
        assert "shop/data-0" in result["msg"]
        assert "shop/data-1" in result["msg"]
        assert result["failures"] == []
        assert history.files(modules) == before
    long_over = modules.backup([old], max_duration=0, stop_grace=0)
    assert [item["snapshots"] for item in long_over["pending"]] == [None]
    preview = modules.backup([old, new], max_duration=0, check_mode=True)
    result = modules.backup([old, new])
    assert preview["pending"] == result["pending"] == []
    assert [i["snapshot"] for i in preview["archives"]] == [i["snapshot"] for i in result["archives"]]
    assert len(result["archives"]) == 3


def test_a_run_with_nothing_to_do_is_in_time(modules: Modules, images: Images) -> None:
    spec = history.backed_up(images, modules, 1)
    result = modules.backup([spec], max_duration=0)
    assert "failed" not in result
    assert result["pending"] == []


def test_what_runs_when_the_time_is_over_may_finish_and_nothing_starts_after_it(
    modules: Modules, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = images.create(history.SIZE)
    history.age(images, spec, range(3))
    over: list[bool] = []
    seal = ArchiveWriter.seal
    monkeypatch.setattr(ArchiveWriter, "seal", lambda *args: (over.append(True), seal(*args))[1])
    monkeypatch.setattr(Deadline, "stopped", property(lambda _self: bool(over)))
    result = modules.backup([spec], max_duration=3600)
    assert [item["snapshot"] for item in result["archives"]] == [name(0)]
    assert [item["snapshots"] for item in result["pending"]] == [[name(1), name(2)]]
    assert history.restored(images, modules, name(0)) == images.read(spec, name(0))


def test_an_export_that_stands_still_is_cancelled(
    modules_each_way: Modules, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules, spec = modules_each_way, images.create(32 * MIB)
    images.change(spec, ("write", 0, 32 * MIB, 5))  # more than all buffers on the way hold
    history.age(images, spec, range(2))
    header, stood = DiffWriter.header, []

    def stand_still(writer: DiffWriter, *args: object) -> None:
        stood.append(writer)
        for pid in rbd_about(spec.image):
            os.kill(pid, signal.SIGSTOP)
        header(writer, *args)

    monkeypatch.setattr(DiffWriter, "header", stand_still)
    # the first record is asked for when the limit is still ahead, and does not come
    result = modules.backup([spec], max_duration=10, stop_grace=2)
    assert stood, "it was over before the export began"
    assert [item["snapshots"] for item in result["pending"]] == [[name(0), name(1)]]
    assert result["failures"] == []
    assert result["archives"] == []
    assert history.archives(modules) == []
    assert not list(modules.set_path.rglob(".tmp-*"))
    eventually(lambda: not about(spec.image))
    monkeypatch.undo()
    assert len(modules.backup([spec])["archives"]) == 2
    history.all_equal(images, modules, spec, [name(0), name(1)])


def test_reading_archives_again_ends_in_time_too(modules: Modules, images: Images) -> None:
    spec = history.backed_up(images, modules, 2)
    result = modules.backup([spec], verify="full", max_duration=0)
    assert [(item["snapshots"], item["unverified"]) for item in result["pending"]] == [([], 2)]
    assert "2 archive(s) not read again" in result["msg"]


@pytest.mark.parametrize(
    "options",
    [{"stop_at": "late"}, {"max_duration": -1}, {"stop_grace": -1}, {"retries": -1}, {"minimum_free": -1}],
)
def test_bad_limits_touch_nothing(modules: Modules, images: Images, options: dict[str, object]) -> None:
    spec = images.create(history.SIZE)
    assert "Nothing was touched" in modules.backup([spec], **options)["msg"]
    assert not modules.set_path.exists()
