# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plays a history onto an RBD image: JSON on standard input, on the Python that has the rbd binding."""

from __future__ import annotations

import json
import random
import sys
from typing import Any

import rados
import rbd


def pattern(seed: int, length: int) -> bytes:
    """Random bytes, every third kilobyte zero."""
    data = bytearray(random.Random(seed).randbytes(length))
    for start in range(0, length, 3072):
        data[start : start + 1024] = bytes(len(data[start : start + 1024]))
    return bytes(data)


def play(image: Any, operation: list[Any]) -> None:
    """Do one operation to the image."""
    kind, *values = operation
    if kind == "write":
        offset, length, seed = values
        image.write(pattern(seed, length), offset)
    elif kind == "zeros":
        offset, length = values
        image.write(bytes(length), offset)
    elif kind == "discard":
        image.discard(*values)
    elif kind == "resize":
        image.resize(*values)
    else:
        image.create_snap(*values)


def main() -> None:
    """Create the image and play."""
    job = json.load(sys.stdin)
    with rados.Rados(conffile=job["conf"], name=f"client.{job['user']}") as cluster:
        with cluster.open_ioctx(job["pool"]) as pool:
            rbd.RBD().create(pool, job["image"], job["size"], old_format=False, **job["layout"])
            with rbd.Image(pool, job["image"]) as image:
                for operation in job["operations"]:
                    play(image, operation)


main()
