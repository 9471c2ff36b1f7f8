#!/usr/bin/python
# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rbd_check_filesystem
short_description: Check the file system in a restored raw file
version_added: 0.1.0
author:
  - rbd_backup.gfs contributors (@rbd-backup)
description:
  - Finds out which file system the file holds and has the right program check it, C(e2fsck) for ext2, ext3 and ext4,
    C(xfs_repair) for XFS. Anything else is reported as not checked.
  - A snapshot of a file system that is mounted is like a disk after a power cut. As a mount would, the check of ext3
    and ext4 first replays the journal, which writes into the file; apart from that it only reads. The log of XFS can be
    replayed by a mount alone; where that is needed, what C(xfs_repair) finds proves nothing, and the file counts as not
    checked.
  - Fails when the file system is damaged, or the program is not installed.
  - It is what the role C(rbd_drill) uses, and is meant for a copy, never for data that somebody needs.
extends_documentation_fragment:
  - rbd_backup.gfs.attributes
  - rbd_backup.gfs.ceph
  - rbd_backup.gfs.kubernetes
attributes:
  check_mode:
    support: partial
    details:
      - In check mode the file system is told but not checked.
  diff_mode:
    support: N/A
    details:
      - There is no state to compare.
  idempotent:
    support: full
    details:
      - It changes something only where a journal is replayed.
options:
  path:
    description: The raw file.
    type: path
    required: true
seealso:
  - module: rbd_backup.gfs.rbd_restore
"""

EXAMPLES = r"""
- name: Check what was restored
  rbd_backup.gfs.rbd_check_filesystem:
    path: /srv/scratch/data-db-0.raw
"""

RETURN = r"""
filesystem:
  description:
    - What the file holds, by its magic bytes, for example V(ext4), V(xfs) or V(luks); null where that is unknown.
  returned: success
  type: str
checked:
  description: Whether it was checked.
  returned: success
  type: bool
clean:
  description: Whether it was found sound; null where it was not checked.
  returned: success
  type: bool
message:
  description: What was found, as a sentence.
  returned: success
  type: str
output:
  description: The last 2000 characters of what the program said.
  returned: success
  type: str
"""

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.check_filesystem import run
from ansible_collections.rbd_backup.gfs.plugins.module_utils._adapter import run_module


def main() -> None:
    """Run the module."""
    run_module(run, {"path": {"type": "path", "required": True}})


if __name__ == "__main__":
    main()
