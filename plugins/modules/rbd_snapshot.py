#!/usr/bin/python
# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rbd_snapshot
short_description: Take live snapshots of RBD images
version_added: 0.1.0
author:
  - rbd_backup.gfs contributors (@rbd-backup)
description:
  - Takes a snapshot of every volume, all of one name from one UTC time, in parallel and while the images are in use.
    Each snapshot is crash consistent in itself; snapshots of several images are not taken at one instant.
  - Or removes the snapshots of exactly one name.
  - Touches only snapshots whose name is exactly C(<prefix>-<UTC time>).
  - A volume that fails does not stop the others; the task then fails and names each that did.
extends_documentation_fragment:
  - rbd_backup.gfs.attributes
  - rbd_backup.gfs.attributes.changing
  - rbd_backup.gfs.ceph
  - rbd_backup.gfs.kubernetes
  - rbd_backup.gfs.common.volumes
  - rbd_backup.gfs.common.parallel
attributes:
  idempotent:
    support: partial
    details:
      - Within O(min_interval) of a volume's newest snapshot a second run changes nothing; after that it takes the
        next snapshot.
options:
  state:
    description:
      - V(present) takes a snapshot of each volume.
      - V(absent) removes the snapshot O(name) from each volume that has it. A protected snapshot is kept, and the
        volume fails.
    type: str
    choices: [present, absent]
    default: present
  time:
    description:
      - The time that names the snapshots, ISO 8601 with C(Z) or a UTC offset. Now, if not given.
      - A volume that already has a later snapshot of this set is refused, with O(min_interval=0) also one that has a
        snapshot of that very time.
    type: str
  allow_future:
    description: Accept an O(time) that lies in the future.
    type: bool
    default: false
  min_interval:
    description:
      - A volume whose newest snapshot of this set is less than this many seconds older than the new one would be is
        left unchanged, so that a job can be repeated. V(0) turns this off.
    type: int
    default: 3600
  max_snapshots:
    description:
      - A volume that has this many snapshots of this set gets no further one and fails. 1 to 400.
      - Whatever this says, no snapshot is taken of an image that has 400 snapshots of all kinds, because ceph-csi and
        kernel clients stop working on images with not many more.
      - From half of either number on, a warning is given.
    type: int
    default: 100
  name:
    description: The exact name of the snapshots to remove. Required with O(state=absent).
    type: str
seealso:
  - module: rbd_backup.gfs.k8s_rbd_resolve
  - module: rbd_backup.gfs.rbd_export_diff
"""

EXAMPLES = r"""
- name: Find the volumes
  rbd_backup.gfs.k8s_rbd_resolve:
    workloads:
      - namespace: shop
        deployments: [web, db]
    storage_classes: [rook-ceph-block]
  register: resolved

- name: Take a snapshot of each
  rbd_backup.gfs.rbd_snapshot:
    volumes: "{{ resolved.volumes }}"

- name: Remove one snapshot again
  rbd_backup.gfs.rbd_snapshot:
    volumes: "{{ resolved.volumes }}"
    state: absent
    name: gfs-20261123T170000Z
"""

RETURN = r"""
snapshot:
  description:
    - The name of the snapshots that were taken or removed, or would be in check mode; null when there were none.
  returned: success, or when only volumes failed
  type: str
  sample: gfs-20261123T170000Z
created:
  description: The snapshots that were taken, or would be in check mode.
  returned: success, or when only volumes failed
  type: list
  elements: dict
  contains: &snapshot
    <<: &volume
      namespace: {description: Namespace of the claim., type: str, sample: shop}
      claim: {description: Name of the claim., type: str, sample: data-db-0}
      image:
        description: The image, as pool, RADOS namespace if any, and name.
        type: str
        sample: replicapool/csi-vol-5f1b4c3e-1d1a-4b5e-9a55-0a58a9feac02
    snapshot:
      description: Name of the snapshot.
      type: str
      sample: gfs-20261123T170000Z
removed:
  description: The snapshots that were removed with O(state=absent), or would be in check mode.
  returned: success, or when only volumes failed
  type: list
  elements: dict
  contains: *snapshot
unchanged:
  description:
    - The volumes that were left as they are. With O(state=present), C(snapshot) is the newest snapshot of each, which
      is younger than O(min_interval).
  returned: success, or when only volumes failed
  type: list
  elements: dict
  contains:
    <<: *snapshot
    age:
      description: Seconds between the newest snapshot and the time of this run.
      returned: with O(state=present)
      type: float
      sample: 241.0
failures:
  description: The volumes that failed. Nothing was changed on them unless the message says so.
  returned: success, or when only volumes failed
  type: list
  elements: dict
  contains:
    <<: *volume
    message: {description: "What failed, what was left untouched, and what to do.", type: str}
"""

from ansible_collections.rbd_backup.gfs.plugins.module_utils import _argument_specs as shared
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.snapshot import run
from ansible_collections.rbd_backup.gfs.plugins.module_utils._adapter import run_module


def main() -> None:
    """Run the module."""
    run_module(
        run,
        {
            **shared.VOLUMES,
            **shared.PARALLEL,
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "time": {"type": "str"},
            "allow_future": {"type": "bool", "default": False},
            "min_interval": {"type": "int", "default": 3600},
            "max_snapshots": {"type": "int", "default": 100},
            "name": {"type": "str"},
        },
        required_if=[("state", "absent", ["name"])],
    )


if __name__ == "__main__":
    main()
