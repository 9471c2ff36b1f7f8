# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a workload does between two snapshots: ``write_data.py POOL SEED IMAGE...`` writes and discards here and there.

Runs with the system's Python, whose package python3-rbd holds the binding.
"""

from __future__ import annotations

import os
import random
import sys

import rados
import rbd

WRITES = 12
LONGEST = 256 * 1024


def change(image: rbd.Image, rng: random.Random) -> None:
    """Write a few random pieces, some of them with zeros inside, and discard one."""
    size = image.size()
    for number in range(WRITES):
        length = rng.randrange(512, LONGEST, 512)
        offset = rng.randrange(0, size - length, 512)
        data = rng.randbytes(length)
        image.write(data if number % 3 else data[: length // 4] + bytes(length - length // 4), offset)
    length = rng.randrange(1 << 16, 1 << 23)
    image.discard(rng.randrange(0, size - length), length)
    image.flush()


def main(pool: str, seed: str, images: list[str]) -> None:
    """Change every image in a way that depends on the seed and its name only."""
    cluster = rados.Rados(conffile=os.environ["CEPH_CONF"], name=f"client.{os.environ['RBD_LAB_CEPH_USER']}")
    with cluster, cluster.open_ioctx(pool) as context:
        for name in images:
            with rbd.Image(context, name) as image:
                change(image, random.Random(f"{seed} {name}"))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
