#!/usr/bin/python
# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rbd_drill_directory
short_description: Make the directory of a drill and remove those of dead ones
version_added: 0.1.0
author:
  - rbd_backup.gfs contributors (@rbd-backup)
description:
  - Makes a directory C(rbd-drill-<token>) in a scratch directory, and beside it a file C(rbd-drill-<token>.maker) that
    names the process that runs the playbook.
  - Removes first what drills have left there whose process is dead, which is proved on the host and in the container
    where it ran and never concluded from age. Only what the same user has made is removed. One in which something is
    mounted is left, with a warning, and so is one without such a file.
  - It is what the role C(rbd_drill) uses.
extends_documentation_fragment:
  - rbd_backup.gfs.attributes
  - rbd_backup.gfs.attributes.changing
  - rbd_backup.gfs.ceph
  - rbd_backup.gfs.kubernetes
attributes:
  idempotent:
    support: none
    details:
      - Every call makes a directory of its own.
options:
  scratch:
    description: The scratch directory. It must exist.
    type: path
    required: true
  maker:
    description:
      - The id of the process that runs the playbook, on this host; V(0) where it runs on another one. Then nobody can
        prove later that it is dead, and a directory that it leaves is named by a warning and kept.
    type: int
    default: 0
seealso:
  - module: rbd_backup.gfs.rbd_check_filesystem
"""

EXAMPLES = r"""
- name: Make a directory for this drill alone
  rbd_backup.gfs.rbd_drill_directory:
    scratch: /srv/scratch
  register: drill_directory

- name: Remove it
  ansible.builtin.file:
    path: "{{ item }}"
    state: absent
  loop: "{{ drill_directory.made }}"
"""

RETURN = r"""
path:
  description: The directory that was made; null in check mode.
  returned: success
  type: str
  sample: /srv/scratch/rbd-drill-5f1b4c3e1d1a4b5e9a550a58a9feac02
made:
  description: All that was made and is to be removed at the end, the directory first.
  returned: success
  type: list
  elements: str
removed:
  description: The directories of dead drills that were removed, or would be in check mode.
  returned: success
  type: list
  elements: str
"""

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.drill_directory import run
from ansible_collections.rbd_backup.gfs.plugins.module_utils._adapter import run_module


def main() -> None:
    """Run the module."""
    run_module(run, {"scratch": {"type": "path", "required": True}, "maker": {"type": "int", "default": 0}})


if __name__ == "__main__":
    main()
