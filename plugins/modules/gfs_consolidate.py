#!/usr/bin/python
# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gfs_consolidate
short_description: Apply grandfather-father-son retention to the restore points of RBD images
version_added: 0.1.0
author:
  - rbd_backup.gfs contributors (@rbd-backup)
description:
  - Decides for every restore point whether it stays, and says why. Exports again every archive that stood on one that
    goes, proves the chain that is left by reading it from disk, and only then removes archives, and snapshots last.
  - When the oldest restore point goes, the next in line becomes the full.
  - Whatever instant the run is killed at, every restore point that stays can be restored, and the next run finishes
    the work.
  - Nothing is removed of a volume when its newest restore point lies in the future (the clock is behind), when a
    restore point could not be read, or when much less would be kept than at the last consolidation.
  - A volume that fails does not stop the others; the task then fails and names each that did.
extends_documentation_fragment:
  - rbd_backup.gfs.attributes
  - rbd_backup.gfs.attributes.actiongroup_gfs
  - rbd_backup.gfs.common.volumes
  - rbd_backup.gfs.common.archive
  - rbd_backup.gfs.common.compression
  - rbd_backup.gfs.common.prefix
  - rbd_backup.gfs.ceph
  - rbd_backup.gfs.kubernetes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  retention:
    description: How many restore points stay. Not all three numbers can be 0. The newest one always stays.
    type: dict
    default: {}
    suboptions:
      daily:
        description: The newest so many days that have a restore point.
        type: int
        default: 7
      weekly:
        description:
          - The newest so many weeks, each with its O(retention.weekly_day) or, if that was missed, the last day
            before it.
        type: int
        default: 4
      monthly:
        description: The newest so many months, each with its 1st or, if that was missed, the last day before it.
        type: int
        default: 3
      weekly_day:
        description: The English name of the day that stands for the week.
        type: str
        default: sunday
  timezone:
    description:
      - The IANA name of the time zone whose days count. The one that is recorded in the backup set, if not given;
        another one needs O(accept_policy_change).
    type: str
  time:
    description:
      - The time as of which restore points are judged, ISO 8601 with C(Z) or a UTC offset. Now, if not given. It only
        tells restore points of the future, which are kept and not counted, from the others.
    type: str
  accept_policy_change:
    description:
      - Go on although retention or time zone differ from those of the last consolidation, or although fewer restore
        points than O(minimum_kept_share) would be kept.
    type: bool
    default: false
  minimum_kept_share:
    description:
      - Remove nothing of a volume when less than this percentage of what its last consolidation kept would be kept.
    type: int
    default: 70
  proof_max_age:
    description:
      - Before anything is removed, every archive that stays and was not read from disk and hashed within so many days
        is hashed again.
    type: int
    default: 30
seealso:
  - module: rbd_backup.gfs.rbd_export_diff
"""

EXAMPLES = r"""
- name: Show what would go, and why
  rbd_backup.gfs.gfs_consolidate:
    volumes: "{{ resolved.volumes }}"
    root: /srv/backup
    cluster: production
  check_mode: true
  diff: true

- name: Consolidate
  rbd_backup.gfs.gfs_consolidate:
    volumes: "{{ resolved.volumes }}"
    root: /srv/backup
    cluster: production
    retention:
      daily: 7
      weekly: 4
      monthly: 3
"""

RETURN = r"""
backup_set:
  description: The directory of the backup set.
  returned: success, or when only volumes failed
  type: str
  sample: /srv/backup/production
plans:
  description: The plan of each volume, which was carried out unless in check mode.
  returned: success, or when only volumes failed
  type: list
  elements: dict
  contains:
    namespace:
      description: Namespace of the claim.
      type: str
      sample: shop
    claim:
      description: Name of the claim.
      type: str
      sample: data-db-0
    restore_points:
      description: Every restore point in ascending time, with C(name), C(time), C(keep) and C(reasons).
      type: list
      elements: dict
    exports:
      description: The archives that are made again, with C(snapshot), C(base), C(kind) and C(reason).
      type: list
      elements: dict
    remove_archives:
      description: The archives that go, by file name.
      type: list
      elements: str
    remove_snapshots:
      description: The snapshots that go, by name.
      type: list
      elements: str
    freed_bytes:
      description: Bytes of the archives that go.
      type: int
    unarchived:
      description: Snapshots beyond retention that were never exported. They are not removed.
      type: list
      elements: str
    retired:
      description: Snapshots whose removal an earlier consolidation began, by name.
      type: list
      elements: str
    blocked:
      description: Why nothing is removed of this volume; null when nothing stands in the way.
      type: str
table:
  description: The plans as a table for people, one line each.
  returned: success, or when only volumes failed
  type: list
  elements: str
failures:
  description: The volumes that failed. Nothing was changed on them unless the message says so.
  returned: success, or when only volumes failed
  type: list
  elements: dict
  contains:
    namespace:
      description: Namespace of the claim.
      type: str
      sample: shop
    claim:
      description: Name of the claim.
      type: str
      sample: data-db-0
    image:
      description: The image, as pool, RADOS namespace if any, and name.
      type: str
      sample: replicapool/csi-vol-5f1b4c3e-1d1a-4b5e-9a55-0a58a9feac02
    message:
      description: What failed, what was left untouched, and what to do.
      type: str
"""

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.consolidate import run
from ansible_collections.rbd_backup.gfs.plugins.module_utils._adapter import run_module
from ansible_collections.rbd_backup.gfs.plugins.module_utils._argument_specs import (
    ARCHIVE_SPEC,
    COMPRESSION_SPEC,
    PREFIX_SPEC,
    VOLUMES_SPEC,
    argument_spec,
)


def main() -> None:
    """Run the module."""
    run_module(
        argument_spec(
            VOLUMES_SPEC,
            ARCHIVE_SPEC,
            COMPRESSION_SPEC,
            PREFIX_SPEC,
            {
                "retention": {
                    "type": "dict",
                    "default": {},
                    "apply_defaults": True,
                    "options": {
                        "daily": {"type": "int", "default": 7},
                        "weekly": {"type": "int", "default": 4},
                        "monthly": {"type": "int", "default": 3},
                        "weekly_day": {"type": "str", "default": "sunday"},
                    },
                },
                "timezone": {"type": "str"},
                "time": {"type": "str"},
                "accept_policy_change": {"type": "bool", "default": False},
                "minimum_kept_share": {"type": "int", "default": 70},
                "proof_max_age": {"type": "int", "default": 30},
            },
        ),
        run,
    )


if __name__ == "__main__":
    main()
