# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random lives of images, with everything that can befall them: every archive is restored and compared with Ceph."""

from __future__ import annotations

import os
import random

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec
from ansible_collections.rbd_backup.gfs.tests.integration import history
from ansible_collections.rbd_backup.gfs.tests.integration.history import day, name
from ansible_collections.rbd_backup.gfs.tests.integration.images import MIB, Images
from ansible_collections.rbd_backup.gfs.tests.integration.modules import Modules

DAYS = 6
SEEDS = range(20) if os.environ.get("RBD_SOAK") else range(1)


@pytest.mark.parametrize("is_clone", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_history_is_restored_byte_for_byte(
    modules_each_way: Modules, images: Images, is_clone: bool, seed: int
) -> None:
    rng, modules = random.Random(2 * seed + is_clone), modules_each_way
    spec = _clone(rng, images) if is_clone else images.create(rng.choice((4, 8)) * MIB)
    flattened_on = rng.randrange(1, DAYS) if is_clone else None
    for number in range(DAYS):
        _change(rng, images, spec)
        if number == flattened_on:
            images.change(spec, ("flatten",))
        assert modules.snapshot([spec], time=day(number))["changed"]
        if rng.random() < 0.5 or number == DAYS - 1:
            history.as_planned(modules, [spec])
    history.all_equal(images, modules, spec, [name(number) for number in range(DAYS)])


def _clone(rng: random.Random, images: Images) -> ImageSpec:
    parent = images.create(8 * MIB)
    images.change(parent, ("write", rng.randrange(MIB), 5 * MIB, rng.random()))
    images.rbd(parent, "snap", "create", "--snap", "origin", "--no-progress")
    features = rng.choice(("layering", "layering,exclusive-lock,deep-flatten"))
    return images.clone(parent, "origin", features)


def _change(rng: random.Random, images: Images, spec: ImageSpec) -> None:
    """Do to the image what workloads do."""
    size = rng.choice((4, 7, 8, 12)) * MIB
    operations: list[tuple[object, ...]] = [("resize", size)] if rng.random() < 0.4 else []
    size = size if operations else 4 * MIB  # no image is smaller
    for _number in range(rng.randint(1, 4)):
        kind = rng.choice(("write", "write", "zeros", "write_zeroes", "discard"))
        offset = rng.randrange(size // 512) * 512
        length = min(rng.choice((512, 4096, 70_656, MIB, 5 * MIB)), size - offset)
        operations.append((kind, offset, length, *((rng.random(),) if kind == "write" else ())))
    images.change(spec, *operations)
