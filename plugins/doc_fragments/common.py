# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that several modules share."""

from __future__ import annotations


class ModuleDocFragment:
    """``volumes``: what to work on; ``archive``: where the archives are; ``restore_point``: which one is meant."""

    VOLUMES = r"""
options:
  volumes:
    description:
      - The volumes to work on, as M(rbd_backup.gfs.k8s_rbd_resolve) returns them.
      - Each entry needs C(namespace), C(claim), C(pool) and C(image). Where it also holds C(fsid), C(pool_id) and
        C(image_id), a volume whose image has become another one is refused.
    type: list
    elements: dict
    required: true
  prefix:
    description:
      - Snapshots of this backup set are named C(<prefix>-<UTC time>), for example C(gfs-20261123T170000Z).
      - Snapshots whose name is not exactly of this form are never touched.
      - 1 to 32 letters, digits, C(-) or C(_), beginning with a letter or a digit.
    type: str
    default: gfs
"""

    CHOSEN_VOLUMES = r"""
options:
  volumes:
    description:
      - The volumes to work on, as M(rbd_backup.gfs.k8s_rbd_resolve) returns them. All volumes of the backup set, also
        those that no workload uses any more, if not given.
      - Each entry needs C(namespace), C(claim), C(pool) and C(image). A volume is found by its identity (C(fsid),
        C(pool_id) and C(image_id)), which Ceph is asked for where an entry lacks it; by the name of its image where
        Ceph cannot be asked.
    type: list
    elements: dict
"""

    PARALLEL = r"""
options:
  parallel:
    description: How many volumes are worked on at the same time.
    type: int
    default: 2
"""

    ARCHIVE = r"""
options:
  root:
    description:
      - The backup root, which holds one directory for each cluster, as an absolute path.
      - It must exist; mount it first.
    type: path
    required: true
  cluster:
    description:
      - The name of the cluster's directory below O(root).
    type: str
    required: true
requirements:
  - zstandard >= 0.19.0 (Python library, where archives are compressed by zstd; to read them the program zstd will do)
"""

    ANY_PREFIX = r"""
options:
  prefix:
    description:
      - The prefix of the restore points that are meant, where it is one that the backup set had before
        (O(rbd_backup.gfs.gfs_consolidate#module:accept_policy_change)). That of the backup set if not given.
    type: str
"""

    COMPRESSION = r"""
options:
  compression:
    description:
      - How new archives are compressed. Archives that exist are read whatever they were written with.
      - V(zstd) needs the Python library C(zstandard) on the host that runs the module, to read as well unless the
        program C(zstd) is there.
    type: str
    choices: [zstd, gzip, none]
    default: zstd
  compression_level:
    description: The level of O(compression); higher is smaller and slower. The library's default if not given.
    type: int
  compression_threads:
    description:
      - How many threads V(zstd) compresses each archive with, 0 to 16. V(0) is one that also hashes and writes.
        At the default level each thread takes about 10 MiB of memory, for each volume that is worked on; more at high
        levels.
      - If not given, half of the processors that the module may use, at least 2 and at most 4; V(0) on a single one.
    type: int
"""

    RESTORE_POINT = r"""
options:
  namespace:
    description: Namespace of the claim.
    type: str
  claim:
    description: Name of the claim.
    type: str
  restore_point:
    description:
      - V(latest), or the exact name of a snapshot, or a time (ISO 8601 with C(Z) or a UTC offset), which takes the
        newest restore point at or before it.
    type: str
"""
