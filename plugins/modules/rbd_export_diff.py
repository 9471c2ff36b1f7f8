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
  planned_snapshot:
    description:
      - Only in check mode, the name of the snapshot that M(rbd_backup.gfs.rbd_snapshot) would have taken just before,
        so that the preview of both shows what both would do. Ignored otherwise.
    type: str
seealso:
  - module: rbd_backup.gfs.rbd_snapshot
  - module: rbd_backup.gfs.gfs_consolidate
"""

EXAMPLES = r"""
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
    namespace:
      description: Namespace of the claim.
      type: str
      sample: shop
    claim:
      description: Name of the claim.
      type: str
      sample: data-db-0
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
    path:
      description: Path of the archive.
      returned: when not in check mode
      type: str
    stream_bytes:
      description: Bytes of the stream before compression.
      returned: when not in check mode
      type: int
    stored_bytes:
      description: Bytes of the archive on disk.
      returned: when not in check mode
      type: int
    seconds:
      description: How long it took.
      returned: when not in check mode
      type: float
unchanged:
  description: How many snapshots had a restore point already.
  returned: success, or when only volumes failed
  type: int
  sample: 42
stream_bytes:
  description: Bytes of all streams before compression.
  returned: success, or when only volumes failed
  type: int
stored_bytes:
  description: Bytes of all archives that were written.
  returned: success, or when only volumes failed
  type: int
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

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.backup import run
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
                "init": {"type": "bool", "default": False},
                "timezone": {"type": "str"},
                "planned_snapshot": {"type": "str"},
            },
        ),
        run,
        required_if=[("init", True, ["timezone"])],
    )


if __name__ == "__main__":
    main()
