#!/usr/bin/python
# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rbd_backup_info
short_description: Show what a backup set holds, what is overdue, and what nobody uses
version_added: 0.1.0
author:
  - rbd_backup.gfs contributors (@rbd-backup)
description:
  - Lists every volume of a backup set with its restore points, their ages, sizes and chains, the reasons for which
    retention keeps them, and when each was last proved.
  - Names the volumes that are overdue, snapshots and directories of volumes that nobody uses, and what dead runs left.
  - Writes nothing, reads no archive, and needs neither Ceph nor Kubernetes. A mount that is read-only is enough.
extends_documentation_fragment:
  - rbd_backup.gfs.attributes
  - rbd_backup.gfs.attributes.read_only
  - rbd_backup.gfs.ceph
  - rbd_backup.gfs.kubernetes
  - rbd_backup.gfs.common.chosen_volumes
  - rbd_backup.gfs.common.parallel
  - rbd_backup.gfs.common.archive
  - rbd_backup.gfs.common.any_prefix
options:
  volumes:
    description:
      - The volumes that are in use, as M(rbd_backup.gfs.k8s_rbd_resolve) returns them. With them, also one without a
        directory is overdue, and with O(volumes_complete) a directory whose volume is not among them is an orphan. All
        volumes of the set are listed in any case.
  volumes_complete:
    description:
      - Whether O(volumes) names all volumes of all workloads that are backed up into this set, and finding them left no
        problem, so RV(rbd_backup.gfs.k8s_rbd_resolve#module:problems) is empty.
      - Without it nobody knows whether the others are in use. Then nothing counts as an orphan, which the table says,
        and any other volume may be overdue.
    type: bool
    default: false
  overdue_hours:
    description: A volume whose newest restore point is older than so many hours, 1 or more, is overdue.
    type: int
    default: 26
  time:
    description:
      - The time as of which ages are counted, ISO 8601 with C(Z) or a UTC offset. Now, if not given.
    type: str
  ceph:
    description:
      - How to reach Ceph. Without this option Ceph is not asked.
      - With it, O(volumes) and O(volumes_complete), snapshots of this backup set are looked for on images that nobody
        uses and in the RBD trash of every pool that volumes are or were in.
seealso:
  - module: rbd_backup.gfs.rbd_backup_verify
  - module: rbd_backup.gfs.k8s_rbd_resolve
"""

EXAMPLES = r"""
- name: Look at a backup set, without Ceph and Kubernetes
  rbd_backup.gfs.rbd_backup_info:
    root: /srv/backup
    cluster: production
  register: backup

- name: Show it
  ansible.builtin.debug:
    var: backup.table

- name: Compare it with what is in use
  rbd_backup.gfs.rbd_backup_info:
    root: /srv/backup
    cluster: production
    volumes: "{{ resolved.volumes }}"
    volumes_complete: "{{ not resolved.problems }}"
    ceph:
      mode: pod
  register: backup
  failed_when: backup is failed or backup.overdue | length > 0
"""

RETURN = r"""
backup_set:
  description: The directory of the backup set.
  returned: success, or when only volumes failed
  type: str
  sample: /srv/backup/production
time:
  description: The time as of which ages are counted.
  returned: success, or when only volumes failed
  type: str
  sample: "2026-11-24T08:00:00Z"
volumes:
  description: Every volume of the set, and every one of O(volumes) that it lacks.
  returned: success, or when only volumes failed
  type: list
  elements: dict
  contains:
    name:
      description: Claim and image, for people.
      type: str
      sample: shop/data-db-0 (replicapool/csi-vol-5f1b4c3e-1d1a-4b5e-9a55-0a58a9feac02)
    <<: &volume
      namespace: {description: Namespace of the claim., type: str, sample: shop}
      claim: {description: Name of the claim., type: str, sample: data-db-0}
      image:
        description: The image, as pool, RADOS namespace if any, and name.
        type: str
        sample: replicapool/csi-vol-5f1b4c3e-1d1a-4b5e-9a55-0a58a9feac02
    image_id:
      description: The id of the image; null where it is not known.
      type: str
      sample: 10226b8b4567
    directory:
      description: The directory of the volume, as an absolute path; null when it has none.
      type: str
    used:
      description: Whether the volume is among O(volumes); null where nobody knows.
      type: bool
    overdue:
      description:
        - Whether the newest restore point is older than O(overdue_hours), or there is none. Never for a volume of which
          it is known that it is not in use.
      type: bool
    newest:
      description: Time of the newest restore point; null when there is none.
      type: str
    stored_bytes:
      description: Bytes of all archives.
      type: int
    restore_points:
      description: All restore points of which there is a trace, in ascending time.
      type: list
      elements: dict
      contains:
        name:
          description: Name of the snapshot.
          type: str
          sample: gfs-20261123T170000Z
        time:
          description: Its time.
          type: str
        age_seconds:
          description: Its age in seconds.
          type: int
        kind:
          description: V(full) or V(diff), by the last archive of the chain; null when the chain is not whole.
          type: str
        chain:
          description: How many archives its chain has; null when it is not whole.
          type: int
        stored_bytes:
          description: Bytes of the last archive of the chain; null when the chain is not whole.
          type: int
        rebuilt:
          description: Whether a manifest of the chain was rebuilt from its archive.
          type: bool
        keep:
          description:
            - Whether retention keeps it, by the policy of the last consolidation; null where there was none.
          type: bool
        reasons:
          description: Why it stays or goes.
          type: list
          elements: str
        hashed:
          description: Since when all archives of the chain were read and hashed; null if not all were.
          type: str
        replayed:
          description: When the chain was last read through and gave the image digest on record; null if never.
          type: str
        compared:
          description: When it was last found equal to the live snapshot; null if never.
          type: str
    problems:
      description: What is not as it should be with the archives.
      type: list
      elements: str
    temporaries:
      description: Files that runs left which are dead; the next backup removes them.
      type: list
      elements: str
    superseded:
      description: Archives that were found damaged or superseded and are kept under another name.
      type: list
      elements: str
overdue:
  description: The volumes that are overdue, by name.
  returned: success, or when only volumes failed
  type: list
  elements: str
orphans:
  description: What there is of volumes that are not among O(volumes). Empty without O(volumes_complete).
  returned: success, or when only volumes failed
  type: list
  elements: dict
  contains:
    pool:
      description: Pool of the image.
      type: str
    rados_namespace:
      description: RADOS namespace of the image; empty for the default one.
      type: str
    image:
      description: Name of the image; the former one when it is in the trash.
      type: str
    image_id:
      description: Id of the image.
      type: str
    in_trash:
      description: Whether the image is in the RBD trash, where the snapshots keep it from being removed.
      type: bool
    snapshots:
      description: The snapshots of this backup set on it. Empty where Ceph has none or was not asked.
      type: list
      elements: str
    directory:
      description: The directory of the volume; null when it has none.
      type: str
problems:
  description:
    - Directories whose volume cannot be told, and pools, RADOS namespaces and images in Ceph that could not be looked
      at. What lies beside them is found all the same.
  returned: success, or when only volumes failed
  type: list
  elements: str
stored_bytes:
  description: Bytes of all archives of all volumes.
  returned: success, or when only volumes failed
  type: int
table:
  description: All of this as a table for people, one line each.
  returned: success, or when only volumes failed
  type: list
  elements: str
failures:
  description: The volumes that could not be looked at.
  returned: success, or when only volumes failed
  type: list
  elements: dict
  contains:
    <<: *volume
    message:
      description: What failed, and what to do.
      type: str
"""

from ansible_collections.rbd_backup.gfs.plugins.module_utils import _argument_specs as shared
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.info import run
from ansible_collections.rbd_backup.gfs.plugins.module_utils._adapter import run_module


def main() -> None:
    """Run the module."""
    run_module(
        run,
        {
            **shared.OPTIONAL_CEPH,
            **shared.CHOSEN_VOLUMES,
            **shared.PARALLEL,
            **shared.ARCHIVE,
            **shared.ANY_PREFIX,
            "volumes_complete": {"type": "bool", "default": False},
            "overdue_hours": {"type": "int", "default": 26},
            "time": {"type": "str"},
        },
    )


if __name__ == "__main__":
    main()
