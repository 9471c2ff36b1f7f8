# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A restore that fails in the middle: what is left says what it is, and ``changed`` is true exactly where something is.

What is done to Ceph is real. Made up is only that a command which took effect is reported as one that was ended because
it took too long, which cannot be timed.
"""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions import restore_content
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.restore_image import INCOMPLETE
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.rbd import RbdClient
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import CephError
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec
from ansible_collections.rbd_backup.gfs.tests.integration import history
from ansible_collections.rbd_backup.gfs.tests.integration.history import name
from ansible_collections.rbd_backup.gfs.tests.integration.images import MIB, Images
from ansible_collections.rbd_backup.gfs.tests.integration.modules import Modules


@pytest.fixture
def spec(modules: Modules, images: Images) -> ImageSpec:
    """An image that was backed up once, with a key in its metadata."""
    made = images.create(history.SIZE)
    images.rbd(made, "image-meta", "set", "rbd.csi.ceph.com/dek", "wrapped")
    history.age(images, made, range(1))
    modules.backup([made])
    return made


@pytest.fixture
def target(images: Images, spec: ImageSpec) -> ImageSpec:
    """An image of other content, to be overwritten."""
    made = images.create(history.SIZE + MIB)
    images.change(made, *history.changes(7))
    return made


def late(patch: pytest.MonkeyPatch, method: str, effect: bool = True, after: int = 0) -> None:
    """Have *method* of the client fail as if it had taken too long, with or without *effect*, *after* good calls."""
    real, calls = getattr(RbdClient, method), []

    def call(self: RbdClient, *arguments: t.Any) -> t.Any:
        calls.append(arguments)
        good = len(calls) <= after
        result = real(self, *arguments) if effect or good else None
        if good:
            return result
        raise CephError(f"{method} was ended; whether it took effect is unknown.")

    patch.setattr(RbdClient, method, call)


def stop(*_args: object) -> None:
    """What fails when all of the content is written and not yet proved."""
    raise OSError("the network is gone")


def restored_after_all(modules: Modules, images: Images, spec: ImageSpec, target: ImageSpec) -> None:
    assert modules.restore(target, place={"overwrite": True})["changed"]
    assert INCOMPLETE not in images.metadata(target)
    assert images.read(target) == images.read(spec, name(0))


def test_an_image_whose_creation_took_too_long_is_removed(
    modules: Modules, images: Images, spec: ImageSpec
) -> None:
    new = images.name()
    with pytest.MonkeyPatch.context() as patch:
        late(patch, "create_image")
        result = modules.restore(new)
    assert "whether it took effect is unknown" in result["msg"]
    assert not result["changed"]
    assert images.left_of(new) == []
    restored_after_all(modules, images, spec, new)


def test_an_unfinished_image_that_cannot_be_removed_is_named(
    modules: Modules, images: Images, spec: ImageSpec
) -> None:
    new = images.name()
    with pytest.MonkeyPatch.context() as patch:
        late(patch, "create_image")
        late(patch, "remove_image", effect=False)
        result = modules.restore(new)
    (left,) = images.left_of(new)
    images.adopt([ImageSpec(new.pool, "", left)])
    assert left.startswith(f"{new.image}.unproved-restore-")
    assert f"'rbd rm {new.pool}/{left}'" in result["msg"]
    assert result["changed"]


def test_a_rename_that_took_effect_although_it_took_too_long_is_a_restore(
    modules: Modules, images: Images, spec: ImageSpec
) -> None:
    new = images.name()
    with pytest.MonkeyPatch.context() as patch:
        late(patch, "rename_image")
        result = modules.restore(new)
    assert "failed" not in result, result
    assert images.left_of(new) == [new.image]
    assert images.read(new) == images.read(spec, name(0))
    with pytest.MonkeyPatch.context() as patch:
        late(patch, "rename_image", effect=False)
        other = images.name()
        assert not modules.restore(other)["changed"]
    assert images.left_of(other) == []


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("empty_image", "its content may be gone in part"),
        ("content", f"its content is gone, and it holds a part of {name(0)} at most"),
        ("set_metadata", f"it holds {name(0)}, and proved, but maybe not all metadata"),
        ("remove_metadata", f"it holds {name(0)}, and proved, but maybe not all metadata"),
    ],
)
def test_an_image_that_was_being_overwritten_is_reported_and_marked(
    modules: Modules, images: Images, spec: ImageSpec, target: ImageSpec, step: str, words: str
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        if step == "content":
            patch.setattr(restore_content.Content, "_compare", stop)
        else:
            late(patch, step, effect=False, after=1 if step == "set_metadata" else 0)
        result = modules.restore(target, place={"overwrite": True})
    assert result["failed"]
    assert result["changed"]
    assert words in result["msg"]
    assert f"The image {target} was being overwritten" in result["msg"]
    assert images.metadata(target)[INCOMPLETE].startswith(f"incomplete: {name(0)}, restore ")
    restored_after_all(modules, images, spec, target)


@pytest.mark.parametrize("effect", [True, False])
def test_an_image_that_could_not_be_marked_keeps_its_content(
    modules: Modules, images: Images, spec: ImageSpec, target: ImageSpec, effect: bool
) -> None:
    before = images.read(target)
    with pytest.MonkeyPatch.context() as patch:
        late(patch, "set_metadata", effect)
        result = modules.restore(target, place={"overwrite": True})
    assert "was left untouched" in result["msg"]
    assert images.read(target) == before
    assert result["changed"] is effect
    assert (INCOMPLETE in images.metadata(target)) is effect
    assert ("image-meta remove" in result["msg"]) is effect
    restored_after_all(modules, images, spec, target)
