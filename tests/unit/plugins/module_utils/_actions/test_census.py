# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The census against a Ceph that is made up: how much it asks, and what it makes of an answer with gaps."""

from __future__ import annotations

import concurrent.futures
import json
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.census import (
    PATIENCE,
    WORTH_A_LISTING,
    Census,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph import failures
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.rbd import RbdClient
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.runner import (
    Completed,
    InputStream,
    OutputStream,
    Runner,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import BackupError, CephError, NotFound
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Identity, ImageSpec, Volume

FSID = "8c1b1f0e-5d5a-4c8e-9a53-0a2a3f6f7b11"
THREADS = 4


def volumes(count: int, pool: str = "pool", rados_namespace: str = "") -> list[Volume]:
    return [Volume("shop", f"data-{n}", ImageSpec(pool, rados_namespace, f"image-{n}")) for n in range(count)]


class MadeUpCeph(Runner):
    """Fault injection and notes: a Ceph of two pools whose images are ``images``, by name; ``broken`` cannot be opened.

    ``bare`` are listed without snapshots although they have one. ``silent`` ones give no answer in time.
    """

    def __init__(self, count: int) -> None:
        self.images = {f"image-{number}": f"{number:x}f" for number in range(count)}
        self.broken: set[str] = set()
        self.bare: set[str] = set()
        self.silent: set[str] = set()
        self.listing_fails = False
        self.asked: list[str] = []

    def run(self, argv: t.Sequence[str], timeout: float) -> Completed:
        # "ls" is the last resort: other commands hold the word too
        word = next(word for word in ("osd", "--long", "info", "snap", "ls") if word in argv)
        name = argv[argv.index("--image") + 1] if "--image" in argv else ""
        self.asked.append(f"{word} {name}".strip())
        if name in self.silent or (word == "--long" and self.silent):
            raise failures.late("rbd", timeout, "")
        if name and (name not in self.images or name in self.broken):
            return Completed(2, b"", f"rbd: error opening image {name}: (2) No such file or directory\n")
        answers: dict[str, t.Callable[[], t.Any]] = {
            "osd": lambda: {
                "fsid": FSID,
                "pools": [{"pool": 1, "pool_name": "pool"}, {"pool": 2, "pool_name": "other"}],
            },
            "--long": self._listing,
            "ls": lambda: sorted(self.images),
            "info": lambda: {"id": self.images[name], "size": 8, "object_size": 8, "features": []},
            "snap": lambda: [{**self._snapshot(), "id": 7, "name": "s", "namespace": {"type": "user"}}],
        }
        if word == "--long" and self.listing_fails:
            return Completed(1, b"", "rbd: listing images failed: (5) Input/output error\n")
        return Completed(0, json.dumps(answers[word]()).encode(), "")

    def _snapshot(self) -> dict[str, t.Any]:
        return {"size": 8, "protected": "false"}

    def _listing(self) -> list[dict[str, t.Any]]:
        found: list[dict[str, t.Any]] = []
        for name, image_id in self.images.items():
            image = {"image": name, "id": image_id, "format": 2}
            if name not in self.broken:
                found.append({**image, "size": 8})
                if name not in self.bare:
                    found.append({**image, **self._snapshot(), "snapshot": "s", "snapshot_id": 7})
        return found

    def open_output(self, argv: t.Sequence[str], stall_timeout: float) -> OutputStream:
        raise AssertionError(argv)

    def open_input(self, argv: t.Sequence[str], stall_timeout: float) -> InputStream:
        raise AssertionError(argv)

    def describe(self) -> str:
        return "made up"


def look_at_all(runner: Runner, found: list[Volume]) -> list[t.Any]:
    census = Census(RbdClient(runner), found)

    def look(volume: Volume) -> t.Any:
        try:
            return census.look(volume)
        except BackupError as error:
            return error

    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(look, found))


def test_each_pool_and_rados_namespace_is_asked_once_however_many_volumes_there_are() -> None:
    ceph = MadeUpCeph(300)
    found = [*volumes(300), *volumes(200, "other"), *volumes(100, "pool", "tenant")]
    seen = look_at_all(ceph, found)
    assert sorted(ceph.asked) == ["--long", "--long", "--long", "osd"]
    assert seen[299].identity == Identity(FSID, 1, "", "12bf")
    assert seen[300].identity == Identity(FSID, 2, "", "0f")
    assert seen[599].identity == Identity(FSID, 1, "tenant", "63f")
    assert all((item.size, [s.name for s in item.snapshots]) == (8, ["s"]) for item in seen)


def test_a_few_volumes_do_not_make_it_list_a_pool_full_of_others() -> None:
    ceph = MadeUpCeph(300)
    few = WORTH_A_LISTING - 1
    assert look_at_all(ceph, volumes(few)) == look_at_all(MadeUpCeph(300), volumes(300))[:few]
    assert "--long" not in ceph.asked
    assert len(ceph.asked) == 1 + 2 * few


def test_an_image_that_cannot_be_opened_is_told_apart_from_one_that_is_gone() -> None:
    ceph = MadeUpCeph(50)
    ceph.broken = {"image-3"}
    del ceph.images["image-4"]
    seen = look_at_all(ceph, volumes(50))
    assert isinstance(seen[3], CephError)
    assert not isinstance(seen[3], NotFound)
    assert "shop/data-3 is listed in its pool, but it cannot be opened" in seen[3].message
    assert isinstance(seen[4], NotFound)
    assert not any(isinstance(item, Exception) for n, item in enumerate(seen) if n not in (3, 4))
    assert sorted(ceph.asked) == ["--long", "info image-3", "info image-4", "ls", "osd"]


def test_a_volume_that_is_listed_without_snapshots_is_asked_for_alone() -> None:
    ceph = MadeUpCeph(50)
    ceph.bare = {"image-3"}
    seen = look_at_all(ceph, volumes(50))
    assert [s.name for s in seen[3].snapshots] == ["s"]
    assert [word for word in ceph.asked if "image" in word] == ["info image-3", "snap image-3"]


def test_a_listing_that_fails_hinders_no_volume_that_can_be_asked_for_alone() -> None:
    ceph = MadeUpCeph(300)
    ceph.listing_fails = True
    ceph.broken = {"image-3"}
    seen = look_at_all(ceph, volumes(300))
    assert [n for n, item in enumerate(seen) if isinstance(item, Exception)] == [3]
    assert "shop/data-3 is listed in its pool, but it cannot be opened" in seen[3].message
    assert ceph.asked.count("--long") == 1


def test_one_image_that_never_answers_hinders_no_other() -> None:
    ceph = MadeUpCeph(50)
    ceph.silent = {"image-3"}
    seen = look_at_all(ceph, volumes(50))
    assert [n for n, item in enumerate(seen) if isinstance(item, Exception)] == [3]
    assert "Reading image pool/image-3 failed (made up): rbd did not end within" in seen[3].message


def test_a_pool_that_never_answers_is_not_asked_for_every_image() -> None:
    ceph = MadeUpCeph(300)
    ceph.silent = set(ceph.images)
    seen = look_at_all(ceph, volumes(300))
    assert {type(item) for item in seen} == {CephError}
    assert "Listing the images of pool failed (made up)" in seen[-1].message
    assert len(ceph.asked) < PATIENCE + THREADS


def test_a_name_that_leads_to_another_image_than_the_resolved_one_is_refused() -> None:
    found = volumes(9)
    resolved = Volume("shop", "data-0", found[0].spec, Identity(FSID, 1, "", "another"))
    seen = look_at_all(MadeUpCeph(9), [resolved, *found[1:]])
    assert "is not the one that was resolved" in seen[0].message
    assert not any(isinstance(item, Exception) for item in seen[1:])
