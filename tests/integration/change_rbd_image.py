# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes the data of an RBD image: JSON on standard input, on the Python that has the rbd binding."""

from __future__ import annotations

import json
import random
import signal
import sys
from typing import Any

import rados
import rbd


def change(image: Any, operation: list[Any]) -> None:
    """Do one operation to the image."""
    kind, *values = operation
    if kind == "write":
        offset, length, seed = values
        image.write(random.Random(seed).randbytes(length), offset)
    elif kind == "zeros":
        offset, length = values
        image.write(bytes(length), offset)
    elif kind == "write_zeroes":
        image.write_zeroes(*values)
    elif kind == "wait":
        image.lock_acquire(rbd.RBD_LOCK_MODE_EXCLUSIVE)
        signal.signal(signal.SIGTERM, lambda *_: None)  # a killed client stays a watcher for 30 s
        print("open", flush=True)
        signal.pause()
    else:
        names = {"discard": "discard", "resize": "resize", "flatten": "flatten", "snapshot": "create_snap"}
        getattr(image, names[kind])(*values)


def main() -> None:
    """Open the image and change it."""
    job = json.load(sys.stdin)
    with rados.Rados(conffile=job["conf"], name="client.admin") as cluster:
        with cluster.open_ioctx(job["pool"]) as pool:
            pool.set_namespace(job["rados_namespace"])
            with rbd.Image(pool, job["image"]) as image:
                for operation in job["operations"]:
                    change(image, operation)


main()
