# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The attributes that every module documents."""

from __future__ import annotations


class ModuleDocFragment:
    """What every module says of itself, and a set of support levels beside it; a module names where it differs."""

    DOCUMENTATION = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/rbd_backup.gfs.gfs) in C(module_defaults) to set defaults for this module.
    details: Every module of the group takes the options of Kubernetes and Ceph, also one that asks neither.
    support: full
    membership:
      - rbd_backup.gfs.gfs
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying target.
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
  idempotent:
    description:
      - When run twice in a row outside check mode, with the same arguments, the second invocation indicates no change.
      - This assumes that the system controlled/queried by the module has not changed in a relevant way.
"""

    CHANGING = r"""
options: {}
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
"""

    READ_ONLY = r"""
options: {}
attributes:
  check_mode:
    support: full
    details: &nothing
      - This action does not modify state.
  diff_mode:
    support: N/A
    details: *nothing
  idempotent:
    support: full
    details: *nothing
"""
