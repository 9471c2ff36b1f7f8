# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every restore point of random histories: byte for byte what the live snapshot is, and no thicker."""

from __future__ import annotations

import json
import os
import pathlib
import random
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec
from ansible_collections.rbd_backup.gfs.tests.integration import history
from ansible_collections.rbd_backup.gfs.tests.integration.history import day, name
from ansible_collections.rbd_backup.gfs.tests.integration.images import KIB, MIB, Images
from ansible_collections.rbd_backup.gfs.tests.integration.modules import Modules

SEEDS = range(20) if os.environ.get("RBD_SOAK") else range(1)
_POINTS = 5
_LAYOUTS = (
    (),
    ("--object-size", "1M"),
    ("--object-size", "1M", "--stripe-unit", "64K", "--stripe-count", "3"),
)


class Random:
    """An image to which random things happen."""

    def __init__(self, images: Images, seed: str, cloned: bool) -> None:
        self._random = random.Random(seed)
        self._images = images
        self._size = 10 * MIB + 1536
        self.spec = images.create(self._size, *self._random.choice(_LAYOUTS))
        if cloned:
            self.happen()
            images.rbd(self.spec, "snap", "create", "--no-progress", "--snap", "parent")
            self.spec = images.clone(self.spec, "parent")

    def happen(self, shrinks: bool = False) -> None:
        """Let some of everything happen to the image; *shrinks*: at last it becomes smaller, and larger again."""
        operations = [self._operation() for _number in range(6)]
        if self._has_parent() and self._random.random() < 0.3:
            operations.insert(0, ("flatten",))
        if shrinks:
            operations += [self._shrink(), self._grow()]
        self._images.change(self.spec, *operations)

    def _shrink(self) -> t.Sequence[t.Any]:
        self._size = self._random.randrange(1, self._size)
        return ("resize", self._size)

    def _grow(self) -> t.Sequence[t.Any]:
        self._size += self._random.randrange(1, 6 * MIB)
        return ("resize", self._size)

    def _has_parent(self) -> bool:
        # one that was flattened, or cut to nothing of what it had of its parent, has none any more
        return "parent" in json.loads(self._images.rbd(self.spec, "info", "--format", "json"))

    def _operation(self) -> t.Sequence[t.Any]:
        kind = self._random.choice(
            ["write", "write", "write", "zeros", "write_zeroes", "discard", "shrink", "grow"]
        )
        if kind in ("shrink", "grow"):
            return self._shrink() if kind == "shrink" and self._size > 4 * MIB else self._grow()
        offset = self._random.randrange(self._size)
        offset -= offset % self._random.choice([1, 512, 4096, MIB])
        length = min(self._random.choice([1, 700, 4096, 100 * KIB, 3 * MIB]), self._size - offset)
        return (kind, offset, length, *([self._random.randrange(2**32)] if kind == "write" else []))


@pytest.mark.parametrize("cloned", [False, True], ids=["image", "clone"])
@pytest.mark.parametrize("seed", SEEDS)
def test_every_restore_point_of_a_random_history(
    modules_each_way: Modules, images: Images, tmp_path: pathlib.Path, seed: int, cloned: bool
) -> None:
    modules, image = modules_each_way, Random(images, f"{seed} {cloned}", cloned)
    for number in range(_POINTS):
        image.happen(shrinks=number == 2)
        assert modules.snapshot([image.spec], time=day(number))["changed"]
        if number % 2:  # one snapshot at a time, and several at once
            assert "failed" not in modules.backup([image.spec])
    assert "failed" not in modules.backup([image.spec])
    for number in range(_POINTS):
        expected = images.read(image.spec, name(number))
        same_and_as_thin(modules, images, image.spec, name(number), expected)
        raw = tmp_path / f"{number}.raw"
        modules.restore_to({"raw": str(raw)}, claim="data-0", restore_point=name(number))
        assert raw.read_bytes() == expected
        raw.unlink()


def same_and_as_thin(modules: Modules, images: Images, spec: ImageSpec, point: str, expected: bytes) -> None:
    target = images.name()
    result = modules.restore(target, restore_point=point)
    assert "failed" not in result, result
    assert images.read(target) == expected
    assert images.allocated(target) <= images.allocated(spec, point)
    assert history.snapshots(images, target) == []
