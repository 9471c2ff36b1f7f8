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
  - Decides for every restore point whether it stays, and says why. Makes again every archive that stood on one that
    goes (see O(method)), proves the chain that is left by reading it from disk, and only then removes archives, and
    snapshots last.
  - When the oldest restore point goes, the next in line becomes the full.
  - Whatever instant the run is killed at, every restore point that stays can be restored, and the next run finishes
    the work.
  - Nothing is removed of a volume when its newest restore point lies in the future (the clock is behind) or cannot be
    restored, when a restore point could not be read, or when much less would be kept than at the last consolidation.
  - New archives are written before old ones are removed. A volume for which there is no room is left out, the failure
    tells the bytes that are missing, and the others are worked on.
  - A volume that fails does not stop the others; the task then fails and names each that did.
extends_documentation_fragment:
  - rbd_backup.gfs.attributes
  - rbd_backup.gfs.attributes.changing
  - rbd_backup.gfs.ceph
  - rbd_backup.gfs.kubernetes
  - rbd_backup.gfs.common.volumes
  - rbd_backup.gfs.common.parallel
  - rbd_backup.gfs.common.archive
  - rbd_backup.gfs.common.compression
attributes:
  idempotent:
    support: partial
    details:
      - A second run changes nothing, unless the first one left snapshots to it; these are in RV(waiting).
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
  method:
    description:
      - How archives are made again that stood on a restore point that goes.
      - With V(reexport) they are exported from Ceph. Where the snapshot that is needed is gone from Ceph, they are
        merged from the archives on disk.
      - With V(merge) they are merged from the archives on disk, and nothing is read from Ceph but what was never
        archived. An archive that proves damaged stops the work on the volume.
      - V(auto) merges where all archives that are needed prove good, each being hashed and parsed in the same pass, and
        exports from Ceph where one does not; a warning then says which and why.
      - Either way leads to the same restore points.
    type: str
    choices: [reexport, merge, auto]
    default: reexport
  max_snapshot_removals:
    description:
      - How many snapshots this run removes at most. The others are I(retired), no backup exports them any more, and
        the next run removes them. 1 or more; any number, if not given.
    type: int
  snapshot_removals_per_second:
    description: How many snapshots are removed in a second at most.
    type: float
    default: 5.0
  max_snaptrim_pgs:
    description:
      - While more placement groups than this trim removed snapshots or wait to, no further snapshot is removed. The run
        waits for up to five minutes and leaves the rest to the next one.
    type: int
    default: 100
  accept_lost_newest:
    description: Go on although the newest restore point cannot be restored and its snapshot is gone from Ceph.
    type: bool
    default: false
  remove_unarchived:
    description:
      - Remove snapshots that retention does not keep also when they were never exported. They are reported under
        RV(plans[].unarchived) and stay otherwise.
    type: bool
    default: false
  remove_without_snapshot:
    description:
      - Remove the restore points whose snapshot is gone from Ceph, which are reported under
        RV(plans[].without_snapshot) and follow retention like all others otherwise. Protected ones and the newest one
        stay.
    type: bool
    default: false
  remove_unused_volumes:
    description:
      - Remove all archives of these volumes, which must be among RV(unused_volumes), each by its C(directory), absolute
        or relative to the backup set, and their snapshots where the image is found. Nothing else of the backup set is
        touched by it.
      - Refused without O(volumes_complete), and for volumes with protected restore points.
    type: list
    elements: str
    default: []
  volumes_complete:
    description:
      - Whether O(volumes) names all volumes of all workloads that are backed up into this set, and finding them left no
        problem, so RV(rbd_backup.gfs.k8s_rbd_resolve#module:problems) is empty.
      - Without it nobody knows whether the others are in use, and O(remove_unused_volumes) is refused.
    type: bool
    default: false
  accept_policy_change:
    description:
      - Go on although retention, time zone or prefix differ from those of the last consolidation, or although fewer
        restore points than O(minimum_kept_share) would be kept.
      - Snapshots and archives of a former prefix are no longer touched by anything. They can be shown, verified and
        restored with the option C(prefix) of those modules, and are removed by hand.
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
  - module: rbd_backup.gfs.rbd_protect
  - module: rbd_backup.gfs.rbd_backup_info
"""

EXAMPLES = r"""
# "resolved" is what rbd_backup.gfs.k8s_rbd_resolve returned.
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

- name: Remove also what is left of a volume that no workload uses any more
  rbd_backup.gfs.gfs_consolidate:
    volumes: "{{ resolved.volumes }}"
    volumes_complete: "{{ not resolved.problems }}"
    root: /srv/backup
    cluster: production
    remove_unused_volumes:
      - shop/data-db-0/csi-vol-5f1b4c3e-1d1a-4b5e-9a55-0a58a9feac02--10226b8b4567
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
    <<: &claim
      namespace: {description: Namespace of the claim., type: str, sample: shop}
      claim: {description: Name of the claim., type: str, sample: data-db-0}
    restore_points:
      description: Every restore point in ascending time, with C(name), C(time), C(keep) and C(reasons).
      type: list
      elements: dict
    remake_archives:
      description:
        - The archives that are made again, with C(snapshot), C(base), C(kind), C(method), C(reason), C(inputs) (the
          archives that are merged), and the estimates C(read_ceph_bytes), C(read_disk_bytes) and C(extra_bytes).
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
    read_ceph_bytes:
      description: About how many bytes are read from Ceph.
      type: int
    read_disk_bytes:
      description: How many bytes of archives are read to merge them.
      type: int
    extra_bytes:
      description: About how many bytes more are taken until the old archives are removed.
      type: int
    freed_bytes:
      description: Bytes of the archives that go.
      type: int
    unarchived:
      description: Snapshots that retention does not keep, and that stay because they were never exported.
      type: list
      elements: str
    without_snapshot:
      description: Restore points whose snapshot is gone from Ceph.
      type: list
      elements: str
    retired:
      description:
        - Snapshots whose removal an earlier consolidation began, by name. Those that Ceph would not give up, because
          they are protected or have clones, are not among C(remove_snapshots).
      type: list
      elements: str
    blocked:
      description: Why nothing is removed of this volume; null when nothing stands in the way.
      type: str
archives:
  description: The archives that were made again. Empty in check mode.
  returned: success, or when only volumes failed
  type: list
  elements: dict
  contains:
    <<: *claim
    snapshot:
      description: The snapshot that the archive leads to.
      type: str
    base:
      description: The snapshot that the archive stands on; null for a full.
      type: str
    kind:
      description: V(full) or V(diff).
      type: str
    method:
      description: V(reexport) or V(merge).
      type: str
    path:
      description: Path of the archive.
      type: str
    stream_bytes:
      description: Bytes of the stream in the archive before compression, with zeros taken out.
      type: int
    stored_bytes:
      description: Bytes of the archive on disk.
      type: int
    seconds:
      description: How long it took.
      type: float
peak_extra_bytes:
  description: About how many bytes more are taken at most at one time, with O(parallel) volumes being worked on.
  returned: success, or when only volumes failed
  type: int
waiting:
  description:
    - The snapshots that are left to the next run, with C(namespace), C(claim), C(snapshots) and C(because). In check
      mode only O(max_snapshot_removals) counts, not how busy the cluster is.
  returned: success, or when only volumes failed
  type: list
  elements: dict
unused_volumes:
  description:
    - The volumes in the backup set that are not among O(volumes), with C(directory) (an absolute path, as
      in all results), C(namespace), C(claim), C(image), C(archives) (their number), C(stored_bytes),
      C(removed) (whether it was, or would be in check mode), C(remove_archives) (the files that went, or would go),
      C(remove_snapshots) (the snapshots that did) and C(note).
    - Where a removal failed half-way, C(removed) is false, C(remove_archives) and C(remove_snapshots) are what went
      until then, RV(failures) says why, and the next run with the same O(remove_unused_volumes) finishes it.
    - C(archives) and C(stored_bytes) are null of one whose directory cannot be read, which is among RV(failures) then.
  returned: success, or when only volumes failed
  type: list
  elements: dict
table:
  description: The plans, and what becomes of unused volumes, as a table for people, one line each.
  returned: success, or when only volumes failed
  type: list
  elements: str
failures:
  description: The volumes that failed. Nothing was changed on them unless the message says so.
  returned: success, or when only volumes failed
  type: list
  elements: dict
  contains:
    <<: *claim
    image:
      description: The image, as pool, RADOS namespace if any, and name.
      type: str
      sample: replicapool/csi-vol-5f1b4c3e-1d1a-4b5e-9a55-0a58a9feac02
    message: {description: "What failed, what was left untouched, and what to do.", type: str}
    missing_bytes:
      description: Where there is too little room for archives, how many bytes are lacking; null otherwise.
      type: int
"""

from ansible_collections.rbd_backup.gfs.plugins.module_utils import _argument_specs as shared
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.consolidate import run
from ansible_collections.rbd_backup.gfs.plugins.module_utils._adapter import run_module


def main() -> None:
    """Run the module."""
    run_module(
        run,
        {
            **shared.VOLUMES,
            **shared.PARALLEL,
            **shared.ARCHIVE,
            **shared.COMPRESSION,
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
            "method": {
                "type": "str",
                "choices": ["reexport", "merge", "auto"],
                "default": "reexport",
            },
            "max_snapshot_removals": {"type": "int"},
            "snapshot_removals_per_second": {"type": "float", "default": 5.0},
            "max_snaptrim_pgs": {"type": "int", "default": 100},
            "accept_policy_change": {"type": "bool", "default": False},
            "accept_lost_newest": {"type": "bool", "default": False},
            "remove_unarchived": {"type": "bool", "default": False},
            "remove_without_snapshot": {"type": "bool", "default": False},
            "remove_unused_volumes": {"type": "list", "elements": "str", "default": []},
            "volumes_complete": {"type": "bool", "default": False},
            "minimum_kept_share": {"type": "int", "default": 70},
            "proof_max_age": {"type": "int", "default": 30},
        },
    )


if __name__ == "__main__":
    main()
