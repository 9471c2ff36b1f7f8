#!/usr/bin/python
# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rbd_export_diff
short_description: Bring the archives of RBD images up to date with their snapshots
version_added: 0.1.0
author:
  - rbd_backup.gfs contributors (@rbd-backup)
description:
  - Exports every snapshot of this backup set that has no restore point yet, oldest first. The oldest becomes a full
    archive, each other one a diff against its predecessor.
  - An archive is published only when everything agrees, namely the exit code, the structure of the stream to its last
    byte, the byte count and SHA-256 on both sides, and the ids of image and snapshots before and after.
  - A full takes the place of a diff only for a permanent reason, which the result gives; never because an export
    failed.
  - Within a volume the first failure stops that volume, and its later snapshots wait in Ceph for the next run. Other
    volumes go on; the task then fails and names each volume that did.
extends_documentation_fragment:
  - rbd_backup.gfs.attributes
  - rbd_backup.gfs.attributes.changing
  - rbd_backup.gfs.ceph
  - rbd_backup.gfs.kubernetes
  - rbd_backup.gfs.common.volumes
  - rbd_backup.gfs.common.parallel
  - rbd_backup.gfs.common.archive
  - rbd_backup.gfs.common.compression
options:
  init:
    description:
      - Make the backup set in C(<root>/<cluster>) when it is not there yet. Without this, a missing set is an error,
        because a share that is not mounted looks exactly like an empty backup.
    type: bool
    default: false
  timezone:
    description:
      - The IANA name of the time zone whose days retention counts, for example V(Europe/Berlin). It is recorded in
        the backup set by O(init) and required for it. Without O(init) it must be the recorded one, where given.
    type: str
  stop_at:
    description:
      - No export starts after this time, and the task then fails and tells in RV(pending) what is left.
      - A time of day such as V("18:45"), in quotes because YAML takes it for a number without them, or an ISO 8601 time
        such as V(2026-11-23T18:45:00), in the time zone of the backup set unless it names an offset.
      - A time of day is the nearest one. When it was within the last 12 hours it has passed, so that a run that
        begins too late exports nothing.
    type: str
  max_duration:
    description:
      - No export starts when the run has lasted for so many seconds. With O(stop_at) too, the earlier one counts.
    type: int
  stop_grace:
    description:
      - For how many seconds after O(stop_at) or O(max_duration) exports that run may go on. Then they are cancelled,
        nothing of them stays, and they are among RV(pending).
    type: int
    default: 600
  retries:
    description:
      - How often an export is begun again from its beginning when its stream broke on the way, because a connection
        was lost, a pod was replaced or what came was damaged. There is no other attempt where Ceph refuses or does
        not answer, or where the disk is full.
    type: int
    default: 2
  verify:
    description:
      - How archives that are present are looked at. V(recorded) trusts one whose manifest is valid and whose size is
        the recorded one. V(full) reads all their bytes and compares them with the SHA-256 in the manifest.
      - Damaged and missing archives are exported again while their snapshots exist in Ceph.
    type: str
    choices: [recorded, full]
    default: recorded
  minimum_free:
    description:
      - How many bytes of each file system that archives are written to stay free. An export that would not fit is not
        begun, and its volume fails. M(rbd_backup.gfs.gfs_consolidate) may use them, because it gives room back.
      - The size of a full is estimated from what C(rbd du) says and how well the last full was compressed; that of a
        diff is the size of the largest of the last seven. Where that is not known, only O(minimum_free) is demanded.
    type: int
    default: 268435456
  planned_snapshot:
    description:
      - Only in check mode, the name of the snapshot that M(rbd_backup.gfs.rbd_snapshot) would have taken just before,
        so that the preview of both shows what both would do. Ignored otherwise.
    type: str
  planned_for:
    description:
      - The volumes that O(planned_snapshot) would have been taken of, as RV(rbd_backup.gfs.rbd_snapshot#module:created)
        lists them. All if not given.
    type: list
    elements: dict
seealso:
  - module: rbd_backup.gfs.k8s_rbd_resolve
  - module: rbd_backup.gfs.rbd_snapshot
  - module: rbd_backup.gfs.gfs_consolidate
"""

EXAMPLES = r"""
# "resolved" is what rbd_backup.gfs.k8s_rbd_resolve returned.
- name: Export what is missing
  rbd_backup.gfs.rbd_export_diff:
    volumes: "{{ resolved.volumes }}"
    root: /srv/backup
    cluster: production

- name: The first time, in a new directory
  rbd_backup.gfs.rbd_export_diff:
    volumes: "{{ resolved.volumes }}"
    root: /srv/backup
    cluster: production
    init: true
    timezone: Europe/Berlin

- name: Over before 19:00, whatever happens
  rbd_backup.gfs.rbd_export_diff:
    volumes: "{{ resolved.volumes }}"
    root: /srv/backup
    cluster: production
    stop_at: "18:45"
    stop_grace: 900
"""

RETURN = r"""
backup_set:
  description: The directory of the backup set.
  returned: success, or when only volumes failed
  type: str
  sample: /srv/backup/production
initialised:
  description: Whether the backup set was made, or would be in check mode.
  returned: success, or when only volumes failed
  type: bool
archives:
  description: The archives that were written, or would be in check mode.
  returned: success, or when only volumes failed
  type: list
  elements: dict
  contains:
    <<: &claim
      namespace: {description: Namespace of the claim., type: str, sample: shop}
      claim: {description: Name of the claim., type: str, sample: data-db-0}
    snapshot:
      description: The snapshot that the archive leads to.
      type: str
      sample: gfs-20261124T170000Z
    base:
      description: The snapshot that the archive stands on; null for a full.
      type: str
      sample: gfs-20261123T170000Z
    kind:
      description: V(full) or V(diff).
      type: str
      sample: diff
    reason:
      description: Why the archive was made, and for a full why it is not a diff.
      type: str
      sample: diff against its predecessor
    estimated_bytes:
      description: The size of the archive as it was estimated before; null where nobody could tell.
      type: int
    path:
      description: Path of the archive.
      returned: when not in check mode
      type: str
    attempts:
      description: How many attempts it took.
      returned: when not in check mode
      type: int
    read_bytes:
      description: Bytes that rbd exported.
      returned: when not in check mode
      type: int
    stream_bytes:
      description: Bytes of the stream in the archive before compression, with zeros taken out.
      returned: when not in check mode
      type: int
    stored_bytes:
      description: Bytes of the archive on disk.
      returned: when not in check mode
      type: int
    ratio:
      description: Bytes read for each byte stored.
      returned: when not in check mode
      type: float
    seconds:
      description: How long it took, with all attempts.
      returned: when not in check mode
      type: float
    mb_per_second:
      description: Bytes read in a second, in units of 1,000,000.
      returned: when not in check mode
      type: float
unchanged:
  description: How many snapshots had a restore point already.
  returned: success, or when only volumes failed
  type: int
  sample: 42
pending:
  description: The volumes that there was no time for, or not enough. Empty in check mode.
  returned: success, or when only volumes failed
  type: list
  elements: dict
  contains:
    <<: &volume
      <<: *claim
      image:
        description: The image, as pool, RADOS namespace if any, and name.
        type: str
        sample: replicapool/csi-vol-5f1b4c3e-1d1a-4b5e-9a55-0a58a9feac02
    snapshots:
      description: The snapshots that were not exported; null where there was no time to look.
      type: list
      elements: str
      sample: [gfs-20261124T170000Z]
    unverified:
      description: With O(verify=full), how many archives were not read.
      type: int
read_bytes:
  description: Bytes that rbd exported for all archives.
  returned: success, or when only volumes failed
  type: int
stream_bytes:
  description: Bytes of all streams before compression.
  returned: success, or when only volumes failed
  type: int
stored_bytes:
  description: Bytes of all archives that were written.
  returned: success, or when only volumes failed
  type: int
ratio:
  description: Bytes read for each byte stored; null where nothing was.
  returned: success, or when only volumes failed
  type: float
seconds:
  description: How long the whole run took.
  returned: success, or when only volumes failed
  type: float
mb_per_second:
  description: Bytes read in a second of the whole run, in units of 1,000,000.
  returned: success, or when only volumes failed
  type: float
failures:
  description: The volumes that failed. Nothing was changed on them unless the message says so.
  returned: success, or when only volumes failed
  type: list
  elements: dict
  contains:
    <<: *volume
    message: {description: "What failed, what was left untouched, and what to do.", type: str}
    missing_bytes:
      description: Where there is too little room for archives, how many bytes are lacking; null otherwise.
      type: int
"""

from ansible_collections.rbd_backup.gfs.plugins.module_utils import _argument_specs as shared
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.backup import run
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
            "init": {"type": "bool", "default": False},
            "timezone": {"type": "str"},
            "stop_at": {"type": "str"},
            "max_duration": {"type": "int"},
            "stop_grace": {"type": "int", "default": 600},
            "retries": {"type": "int", "default": 2},
            "verify": {"type": "str", "choices": ["recorded", "full"], "default": "recorded"},
            "minimum_free": {"type": "int", "default": 268435456},
            "planned_snapshot": {"type": "str"},
            "planned_for": {"type": "list", "elements": "dict"},
        },
        required_if=[("init", True, ["timezone"])],
    )


if __name__ == "__main__":
    main()
