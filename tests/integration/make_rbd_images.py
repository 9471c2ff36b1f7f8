# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes many empty RBD images with a snapshot each, or removes them: JSON on standard input, on the Python that has the
rbd binding. Prints the ids of the images that were made, and of their snapshots, in the order of their names."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import sys
from typing import Any

import rados
import rbd


def make(pool: Any, job: dict[str, Any], name: str) -> tuple[str, int]:
    """Make one image and its snapshot."""
    rbd.RBD().create(pool, name, job["size"], old_format=False, features=rbd.RBD_FEATURE_LAYERING)
    with rbd.Image(pool, name) as image:
        image.create_snap(job["snapshot"])
        return image.id(), next(iter(image.list_snaps()))["id"]


def remove(pool: Any, _job: dict[str, Any], name: str) -> None:
    """Remove one image with its snapshots."""
    with contextlib.suppress(rbd.ImageNotFound):
        with rbd.Image(pool, name) as image:
            for snapshot in list(image.list_snaps()):
                image.remove_snap(snapshot["name"])
        rbd.RBD().remove(pool, name)


def main() -> None:
    """Do the job."""
    job = json.load(sys.stdin)
    work = {"make": make, "remove": remove}[job["do"]]
    with rados.Rados(conffile=job["conf"], name="client.admin") as cluster:
        with cluster.open_ioctx(job["pool"]) as pool:
            pool.set_namespace(job["rados_namespace"])
            with concurrent.futures.ThreadPoolExecutor(8) as threads:
                print(json.dumps(list(threads.map(lambda name: work(pool, job, name), job["names"]))))


main()
