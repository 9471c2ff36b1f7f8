#!/usr/bin/python
# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rbd_backup_verify
short_description: Prove that the restore points of a backup set can be restored
version_added: 0.1.0
author:
  - rbd_backup.gfs contributors (@rbd-backup)
description:
  - Reads archives back from disk and proves them, alone or against the live snapshots in Ceph.
  - Names and manifests, and that the chains join, are checked of every volume in every mode. Of what is read, every
    stored byte is hashed, every record is parsed, and the image digest of every restore point is computed over its
    chain and held against the one on record. All of that is one pass over a chain, which reads each archive once.
  - A volume that fails does not stop the others; the task then fails, and names each that did with the files and bytes.
  - What was proved and when is noted in C(proof.json) of the volume, unless the directory is read-only or another run
    is at work there, which is told by a warning. These dates are bookkeeping and do not count as a change.
  - In check mode nothing is read but names and manifests; the result says how many bytes would be.
extends_documentation_fragment:
  - rbd_backup.gfs.attributes
  - rbd_backup.gfs.attributes.changing
  - rbd_backup.gfs.ceph
  - rbd_backup.gfs.kubernetes
  - rbd_backup.gfs.common.chosen_volumes
  - rbd_backup.gfs.common.parallel
  - rbd_backup.gfs.common.archive
  - rbd_backup.gfs.common.any_prefix
attributes:
  diff_mode:
    support: none
options:
  mode:
    description:
      - V(offline) reads everything and needs neither Ceph nor Kubernetes. A mount that is read-only is enough.
      - V(sample) is V(offline) for the volumes whose turn it is, those first whose proof is oldest, so that run every
        day it proves everything once in O(sample_days) days.
      - V(deep) also reads live snapshots in full, never as a diff, and compares them with what their chains lead to.
        It needs O(ceph). A volume of which nothing can be compared, because none of the snapshots is in Ceph, fails.
    type: str
    choices: [offline, sample, deep]
    default: offline
  restore_points:
    description:
      - The restore points to prove, by name, or V(all).
      - If not given, all with O(mode=offline); with O(mode=deep) of each volume the newest one and, in turn, one more,
        among those whose snapshot is in Ceph. Refused with O(mode=sample), which chooses by itself.
    type: list
    elements: str
    default: []
  sample_days:
    description:
      - With O(mode=sample), in how many days everything is proved once. A volume whose oldest proof would be older by
        the next run, a day and a half later at most, is read in any case; one that was never proved counts from its
        oldest restore point.
    type: int
    default: 30
  sample_share:
    description:
      - With O(mode=sample), how many percent of the bytes of all archives, 1 to 100, are read in a day, apart
        from what O(sample_days) demands. As many as prove everything in O(sample_days) days, if not given.
      - The last volume of a run may overdraw it, as one that is larger than a share must; the days after it read less.
    type: int
  rebuild_manifests:
    description:
      - Make a manifest that is missing or damaged again from its archive, which is read to its end for that. What was
        damaged is kept under another name. It is the only change that this module makes.
      - A rebuilt manifest lacks the ids of the snapshots. It is good for a restore, and it counts for retention, but
        no diff is based on it, and the next backup exports it again while its snapshot is in Ceph. Unless O(mode=deep)
        has found the restore point equal to its live snapshot before; then it counts as it did.
      - In an archive that is not compressed, bytes that were changed without a trace cannot be told from good ones.
    type: bool
    default: false
  accept_unproved:
    description:
      - Whether restore points may be C(unproved), which is a failure otherwise. Their archives are joined by the name
        of a snapshot alone, because a manifest was lost and rebuilt, and no image digest is on record to compare with.
        They hold something else than the volume did where there were two snapshots of that name.
    type: bool
    default: false
  ceph:
    description:
      - How to reach Ceph, for O(mode=deep). Without this option Ceph is not asked.
seealso:
  - module: rbd_backup.gfs.rbd_backup_info
  - module: rbd_backup.gfs.rbd_restore
"""

EXAMPLES = r"""
- name: Prove a whole backup set, on any host that has it mounted
  rbd_backup.gfs.rbd_backup_verify:
    root: /srv/backup
    cluster: production

- name: Every day a part of it
  rbd_backup.gfs.rbd_backup_verify:
    root: /srv/backup
    cluster: production
    mode: sample
    sample_days: 30

- name: Make lost manifests again, as far as their archives allow
  rbd_backup.gfs.rbd_backup_verify:
    root: /srv/backup
    cluster: production
    rebuild_manifests: true

- name: Compare the newest restore point and one more of each volume with Ceph
  rbd_backup.gfs.rbd_backup_verify:
    root: /srv/backup
    cluster: production
    mode: deep
    ceph:
      mode: pod
"""

RETURN = r"""
backup_set:
  description: The directory of the backup set.
  returned: success, or when only volumes failed
  type: str
  sample: /srv/backup/production
mode:
  description: What was done.
  returned: success, or when only volumes failed
  type: str
  sample: offline
volumes:
  description: The volumes that were looked at.
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
      description: The id of the image.
      type: str
      sample: 10226b8b4567
    directory:
      description: The directory of the volume.
      type: str
    archives:
      description: How many archives were read, or would be in check mode. Without those that were found damaged.
      type: int
    archive_bytes:
      description: Their bytes.
      type: int
    ceph_bytes:
      description: The sizes of the live snapshots that were read; what Ceph really stores of them may be much less.
      type: int
    restore_points:
      description: The restore points that were chosen, and those whose chain is not whole.
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
        chain:
          description: How many archives its chain has; null when it is not whole.
          type: int
        result:
          description:
            - V(proved); V(lost) when its chain is not whole; V(differs) when the chain leads to something else than
              what is on record or in Ceph; V(unproved) when every archive is good and nothing but a name says that
              they belong together (see O(accept_unproved)); V(unknown) when something could not be read, which is no
              proof of damage; V(planned) in check mode.
          type: str
        image_digest:
          description: The image digest that its chain gave; null when that was not computed.
          type: str
        compared:
          description: Whether it was found equal to its live snapshot.
          type: bool
    compared:
      description: How many restore points were compared with their live snapshots.
      type: int
    rebuilt:
      description: The archives whose manifest was rebuilt, or would be in check mode.
      type: list
      elements: str
    not_compared:
      description:
        - With O(mode=deep), those of O(restore_points) whose snapshot is not in Ceph, or all where no snapshot is. A
          warning names them.
      type: list
      elements: str
    recorded:
      description: Whether what was proved was noted in C(proof.json).
      type: bool
archive_bytes:
  description: Bytes of all archives that were read, or would be in check mode.
  returned: success, or when only volumes failed
  type: int
ceph_bytes:
  description: The sizes of all live snapshots that were read, or would be in check mode.
  returned: success, or when only volumes failed
  type: int
table:
  description: All of this as a table for people, one line each.
  returned: success, or when only volumes failed
  type: list
  elements: str
failures:
  description: The volumes with which something is wrong.
  returned: success, or when only volumes failed
  type: list
  elements: dict
  contains:
    <<: *volume
    message:
      description: What is wrong, and what to do.
      type: str
    restore_points:
      description: The restore points that cannot be restored as they were.
      type: list
      elements: str
    defects:
      description: Everything that was found.
      type: list
      elements: dict
      contains:
        file:
          description: The archive, by file name.
          type: str
        byte:
          description:
            - Where in the file it was noticed, or in the stream in it where the file is what was stored; for a
              difference to a live snapshot, where in the image. Null where only a sum does not agree.
          type: int
        kind:
          description:
            - V(damaged), V(missing), V(manifest), V(refused) where a manifest speaks of another image, or
              V(unreadable), which is no proof of damage.
          type: str
        message:
          description: What is wrong.
          type: str
"""

from ansible_collections.rbd_backup.gfs.plugins.module_utils import _argument_specs as shared
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.verify import run
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
            "mode": {"type": "str", "choices": ["offline", "sample", "deep"], "default": "offline"},
            "restore_points": {"type": "list", "elements": "str", "default": []},
            "sample_days": {"type": "int", "default": 30},
            "sample_share": {"type": "int"},
            "rebuild_manifests": {"type": "bool", "default": False},
            "accept_unproved": {"type": "bool", "default": False},
        },
    )


if __name__ == "__main__":
    main()
