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
  - A snapshot of a file system that is mounted is like a disk after a power cut. It is judged as its next mount would
    find it, so what was under way is finished first, which writes into the file; apart from that, nothing does.
    For ext that is C(e2fsck -p), as a node calls it before it mounts; it replays the journal and removes files that
    were deleted while open. The log of XFS can be replayed by a mount alone, which O(mount) allows.
  - Fails when the file system is damaged, when the program is not installed, and when a log would have to be replayed
    by a mount and that is not possible. What is not checked is told by a warning.
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
      - It changes something only where something was under way in the file system.
options:
  path:
    description: The raw file.
    type: path
    required: true
  mount:
    description:
      - Whether the file may be mounted for a moment to have the log of XFS replayed, where that is needed. The mount is
        in a namespace of its own, so that nobody else sees it and nothing of it remains. It takes root and a loop
        device, and hands what the file holds to this host's kernel.
      - If not, an XFS whose log would have to be replayed is not checked, which is what becomes of every XFS that was
        in use when its snapshot was taken.
    type: bool
    default: true
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
  returned: success, or when the file system is damaged
  type: str
checked:
  description: Whether it was checked.
  returned: success, or when the file system is damaged
  type: bool
clean:
  description: Whether it was found sound; null where it was not checked.
  returned: success, or when the file system is damaged
  type: bool
finished:
  description: Whether something was under way in the file system that was finished first, in the file.
  returned: success, or when the file system is damaged
  type: bool
message:
  description: What was found, as a sentence.
  returned: success, or when the file system is damaged
  type: str
output:
  description: The last 2000 characters of what the program said.
  returned: success, or when the file system is damaged
  type: str
"""

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.check_filesystem import run
from ansible_collections.rbd_backup.gfs.plugins.module_utils._adapter import run_module


def main() -> None:
    """Run the module."""
    options = {
        "path": {"type": "path", "required": True},
        "mount": {"type": "bool", "default": True},
    }
    run_module(run, options)


if __name__ == "__main__":
    main()
