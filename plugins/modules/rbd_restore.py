#!/usr/bin/python
# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rbd_restore
short_description: Restore an RBD image from its archives
version_added: 0.1.0
author:
  - rbd_backup.gfs contributors (@rbd-backup)
description:
  - Restores one restore point of a volume into a new RBD image.
  - The whole chain of archives is read from disk and proved before anything is created. It is then merged into one
    stream on the fly, so that no snapshot is left on the restored image.
  - Until it is proved the image has a name that ends in C(.unproved-restore-) and eight digits. It is removed when
    the restore fails.
  - While it reads, a consolidation removes nothing of the volume; exports go on beside it. Where the directory cannot
    be written, for example on a read-only mount, it reads without that protection and warns.
  - In check mode the chain is proved and nothing is created.
  - Restoring into an image that exists is not supported.
extends_documentation_fragment:
  - rbd_backup.gfs.attributes
  - rbd_backup.gfs.attributes.actiongroup_gfs
  - rbd_backup.gfs.common.archive
  - rbd_backup.gfs.ceph
  - rbd_backup.gfs.kubernetes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: none
    details:
      - A target that exists is refused, also when an earlier run has restored it.
options:
  namespace:
    description: Namespace of the claim whose volume is restored.
    type: str
    required: true
  claim:
    description: Name of the claim.
    type: str
    required: true
  image_id:
    description:
      - The id of the image that was backed up. Required where the backup set has more than one volume of the claim,
        which is the case after the claim was created anew. The error then lists them.
    type: str
  restore_point:
    description:
      - V(latest), or the exact name of a snapshot, or a time (ISO 8601 with C(Z) or a UTC offset), which takes the
        newest restore point at or before it.
    type: str
    default: latest
  target:
    description: The image to create.
    type: dict
    required: true
    suboptions:
      image:
        description: Its name. It must not exist.
        type: str
        required: true
      pool:
        description: Its pool. The one that the volume was backed up from, if not given.
        type: str
      rados_namespace:
        description:
          - Its RADOS namespace; an empty text for the default one. The one that the volume was backed up from, if not
            given.
        type: str
      data_pool:
        description: The pool for its data where that is another one, for example an erasure coded one.
        type: str
seealso:
  - module: rbd_backup.gfs.rbd_export_diff
"""

EXAMPLES = r"""
- name: Restore the newest restore point beside the original
  rbd_backup.gfs.rbd_restore:
    root: /srv/backup
    cluster: production
    namespace: shop
    claim: data-db-0
    target:
      image: restored-data-db-0

- name: Restore the state of a certain moment into another pool
  rbd_backup.gfs.rbd_restore:
    root: /srv/backup
    cluster: production
    namespace: shop
    claim: data-db-0
    restore_point: "2026-11-20T12:00:00Z"
    target:
      pool: scratch
      image: data-db-0-before-the-accident
"""

RETURN = r"""
volume:
  description: The directory of the volume.
  returned: success
  type: str
  sample: /srv/backup/production/shop/data-db-0/csi-vol-5f1b4c3e-1d1a-4b5e-9a55-0a58a9feac02--10226b8b4567
restore_point:
  description: The snapshot whose state was restored.
  returned: success
  type: str
  sample: gfs-20261120T170000Z
time:
  description: The time of the restore point.
  returned: success
  type: str
  sample: "2026-11-20T17:00:00Z"
chain:
  description: The archives that were used, oldest first.
  returned: success
  type: list
  elements: str
image:
  description: The image that was created, as pool, RADOS namespace if any, and name.
  returned: success
  type: str
  sample: replicapool/restored-data-db-0
size:
  description: Size of the image in bytes.
  returned: success
  type: int
image_digest:
  description: SHA-256 over the content of the restored image; null in check mode.
  returned: success
  type: str
image_digest_on_record:
  description:
    - What the digest was found to be when the full was made, or when the restore point was restored before; null where
      it was not. A restore with another digest fails.
  returned: success
  type: str
seconds:
  description: How long it took.
  returned: success
  type: float
"""

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.restore import run
from ansible_collections.rbd_backup.gfs.plugins.module_utils._adapter import run_module
from ansible_collections.rbd_backup.gfs.plugins.module_utils._argument_specs import (
    ARCHIVE_SPEC,
    argument_spec,
)


def main() -> None:
    """Run the module."""
    run_module(
        argument_spec(
            ARCHIVE_SPEC,
            {
                "namespace": {"type": "str", "required": True},
                "claim": {"type": "str", "required": True},
                "image_id": {"type": "str"},
                "restore_point": {"type": "str", "default": "latest"},
                "target": {
                    "type": "dict",
                    "required": True,
                    "options": {
                        "image": {"type": "str", "required": True},
                        "pool": {"type": "str"},
                        "rados_namespace": {"type": "str"},
                        "data_pool": {"type": "str"},
                    },
                },
            },
        ),
        run,
    )


if __name__ == "__main__":
    main()
