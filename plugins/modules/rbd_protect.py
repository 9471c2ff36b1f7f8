#!/usr/bin/python
# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rbd_protect
short_description: Protect a restore point from retention
version_added: 0.1.0
author:
  - rbd_backup.gfs contributors (@rbd-backup)
description:
  - Protects one restore point of a volume, so that no consolidation removes it, or takes the protection off again.
  - It is recorded with its reason beside the archives, and shown with every plan of
    M(rbd_backup.gfs.gfs_consolidate) as C(protected) with the reason. Neither Ceph nor Kubernetes is asked.
  - A protected restore point takes part in every rule of retention as if it were not protected.
  - One whose removal was begun by a consolidation that was killed, and that can be restored still, is taken back.
extends_documentation_fragment:
  - rbd_backup.gfs.attributes
  - rbd_backup.gfs.attributes.changing
  - rbd_backup.gfs.ceph
  - rbd_backup.gfs.kubernetes
  - rbd_backup.gfs.common.archive
  - rbd_backup.gfs.common.any_prefix
  - rbd_backup.gfs.common.restore_point
options:
  namespace:
    required: true
  claim:
    required: true
  image_id:
    description:
      - The id of the image that was backed up. Required where the backup set has more than one volume of the claim,
        which is the case after the claim was created anew. The error then lists them with dates and sizes.
    type: str
  restore_point:
    required: true
  reason:
    description: Why the restore point is protected. Required with O(state=present), no effect otherwise.
    type: str
  state:
    description: Whether the restore point is protected.
    type: str
    choices: [present, absent]
    default: present
seealso:
  - module: rbd_backup.gfs.gfs_consolidate
  - module: rbd_backup.gfs.rbd_backup_info
"""

EXAMPLES = r"""
- name: Keep what there was before the migration
  rbd_backup.gfs.rbd_protect:
    root: /srv/backup
    cluster: production
    namespace: shop
    claim: data-db-0
    restore_point: gfs-20261123T170000Z
    reason: before the migration to version 12

- name: It is not needed any more
  rbd_backup.gfs.rbd_protect:
    root: /srv/backup
    cluster: production
    namespace: shop
    claim: data-db-0
    restore_point: gfs-20261123T170000Z
    state: absent
"""

RETURN = r"""
directory:
  description: The directory of the volume, as an absolute path.
  returned: success
  type: str
  sample: /srv/backup/production/shop/data-db-0/csi-vol-5f1b4c3e--10226b8b4567
restore_point:
  description: The restore point, by the name of its snapshot.
  returned: success
  type: str
  sample: gfs-20261123T170000Z
protected:
  description: Whether it is protected now.
  returned: success
  type: bool
reason:
  description: Why it is protected; null where it is not.
  returned: success
  type: str
"""

from ansible_collections.rbd_backup.gfs.plugins.module_utils import _argument_specs as shared
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.protect import run
from ansible_collections.rbd_backup.gfs.plugins.module_utils._adapter import run_module


def main() -> None:
    """Run the module."""
    run_module(
        run,
        {
            **shared.ARCHIVE,
            **shared.ANY_PREFIX,
            "namespace": {"type": "str", "required": True},
            "claim": {"type": "str", "required": True},
            "image_id": {"type": "str"},
            "restore_point": {"type": "str", "required": True},
            "reason": {"type": "str"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        required_if=[("state", "present", ["reason"])],
    )


if __name__ == "__main__":
    main()
