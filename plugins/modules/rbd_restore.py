#!/usr/bin/python
# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rbd_restore
short_description: Restore RBD images from their archives
version_added: 0.1.0
author:
  - rbd_backup.gfs contributors (@rbd-backup)
description:
  - Restores one restore point of a volume, or of all volumes of a workload, into RBD images or into raw files.
  - The whole chain of archives is read from disk and proved before anything is created. It is then merged into one
    stream on the fly, so that no snapshot is left on the restored image.
  - Until it is proved a new image has a name that ends in C(.unproved-restore-) and eight hexadecimal digits, and a raw
    file one that begins with C(.tmp-). Both are removed when the restore fails.
  - While it reads, a consolidation removes nothing of the volume; exports go on beside it. Where the directory cannot
    be written, for example on a read-only mount, it reads without that protection and warns.
  - An image that exists is written to with O(target.overwrite) only. Its snapshots stay.
  - The volumes of a workload are restored independently of each other. When one fails, the others are restored, and
    the task fails at its end with RV(failures).
  - Where a restore fails after something was changed, for example while an image was being overwritten, C(changed)
    is true and the message says which state it is in.
  - In check mode the chain is proved, the target and the manifests are checked, and nothing is created.
  - Where Ansible itself is not there, C(scripts/restore.py) of this collection restores into raw files with nothing but
    Python.
extends_documentation_fragment:
  - rbd_backup.gfs.attributes
  - rbd_backup.gfs.attributes.changing
  - rbd_backup.gfs.ceph
  - rbd_backup.gfs.kubernetes
  - rbd_backup.gfs.common.parallel
  - rbd_backup.gfs.common.archive
  - rbd_backup.gfs.common.any_prefix
  - rbd_backup.gfs.common.restore_point
attributes:
  idempotent:
    support: none
    details:
      - A target that exists is refused, also when an earlier run has restored it, unless that run could not create
        its objects (O(manifests.apply)). With O(target.overwrite) it is written anew.
options:
  namespace:
    description: Namespace of O(claim) or O(workload). Required with either.
  claim:
    description: Name of the claim. Exactly one of O(claim), O(workload) and O(directory) says what is restored.
  workload:
    description:
      - The workload, for example V(web), or V(statefulset/db) where a Deployment has the same name. All volumes that it
        used at their last backup are restored, at the same restore point; where they would be at different ones, the
        restore is refused and says which is the newest that all have.
      - Which workload used a volume is on record for volumes that come from M(rbd_backup.gfs.k8s_rbd_resolve).
    type: str
  directory:
    description:
      - The directory of one volume, absolute or relative to the backup set, for example
        C(shop/data-db-0/csi-vol-5f1b4c3e--10226b8b4567).
    type: str
  image_ids:
    description:
      - The ids of the images that were backed up. Required where the backup set has more than one volume of a claim,
        which is the case after the claim was created anew. The error then lists them with dates and sizes.
    type: list
    elements: str
  restore_point:
    default: latest
  accept_unproved:
    description:
      - Whether a restore point may be restored whose archives are joined by the name of a snapshot alone, because a
        manifest was lost and rebuilt, while no image digest is on record to compare with. It holds something else than
        the volume did where there were two snapshots of that name. Refused otherwise.
      - Its digest is not put on record.
    type: bool
    default: false
  target:
    description:
      - Where to restore to. Exactly one of O(target.image) and O(target.raw) is needed.
      - In both the placeholders C({namespace}), C({claim}), C({image}), C({image_id}) and C({restore_point}) are
        replaced by those of the volume. With more than one volume a name needs one.
    type: dict
    required: true
    suboptions:
      image:
        description: Name of the RBD image. It must not exist, unless O(target.overwrite) is set.
        type: str
      raw:
        description:
          - Path of a raw file to create, as sparse as the image. It must not exist.
          - Neither Ceph nor Kubernetes is used.
        type: path
      pool:
        description: Pool of the image. The one that the volume was backed up from, if not given.
        type: str
      rados_namespace:
        description:
          - RADOS namespace of the image; an empty text for the default one. The one that the volume was backed up from,
            if not given.
        type: str
      data_pool:
        description:
          - The pool for the data of a new image where that is another one, for example an erasure coded one; an empty
            text for none. If not given, that of the original where O(target.pool) is the original's.
        type: str
      metadata:
        description:
          - Whether the image gets all metadata of the original. What decrypts an encrypted volume it gets in any case.
          - They name the original claim. Where another claim is bound to the image, M(rbd_backup.gfs.k8s_rbd_resolve)
            takes that for a contradiction and leaves the volume out.
          - While it is set, an entry can be seen in the list of processes where C(rbd) runs.
        type: bool
        default: false
      overwrite:
        description:
          - Whether an image of that name may be overwritten. It must have no watcher. All of its content is removed
            first; it keeps its id, features, object size, data pool and snapshots, and gets the size of the restore
            point.
          - "Until it is complete, its metadata C(rbd_backup_gfs/restore) says
            C(incomplete: <restore point>, restore <token>). A restore that completes removes that again."
        type: bool
        default: false
  manifests:
    description:
      - Make a static persistent volume and a claim for each restored image, from what the backup has recorded.
        They are returned in RV(volumes[].manifests).
      - The texts may hold the placeholders of O(target).
      - Refused with O(target.raw), and for an encrypted volume whose key belongs to the original volume handle.
    type: dict
    suboptions:
      namespace:
        description: Namespace of the claim; with O(manifests.apply) it must exist. The original's if not given.
        type: str
      claim:
        description: Name of the claim. The original's if not given.
        type: str
      persistent_volume:
        description: Name of the persistent volume. That of the image if not given.
        type: str
      storage_class:
        description: Storage class that both name; an empty text for none. The original's if not given.
        type: str
      cluster_id:
        description:
          - What ceph-csi calls the Ceph cluster, and the RADOS namespace in it. The original's if not given; needed
            where the image is restored into another RADOS namespace.
        type: str
      file:
        description: Write all manifests into this file, which must not exist, as C(kubectl apply -f) takes them.
        type: path
      apply:
        description:
          - Create the objects, with the credentials of the options of Kubernetes. The API server validates them before
            anything is restored, and once more before the first is created. Objects that exist are never changed; one
            that is as this restore would make it is taken for its own.
          - Where that fails all the same, the image stays and its metadata C(rbd_backup_gfs/objects-missing) says so.
            The same restore of the same restore point, run again, reads the image, compares it and creates what is
            missing; in check mode it compares as well.
          - The account needs the rules of C(examples/rbac-restore.yaml) of this collection for it.
        type: bool
        default: false
seealso:
  - module: rbd_backup.gfs.rbd_backup_info
  - module: rbd_backup.gfs.rbd_backup_verify
  - module: rbd_backup.gfs.rbd_check_filesystem
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

- name: Restore all volumes of a workload as of a certain moment, with claims in another namespace
  rbd_backup.gfs.rbd_restore:
    root: /srv/backup
    cluster: production
    namespace: shop
    workload: statefulset/db
    restore_point: "2026-11-20T12:00:00Z"
    target:
      pool: scratch
      image: restored-{claim}
    manifests:
      namespace: shop-restored
      apply: true

- name: Put the content of yesterday back into the image of a workload that is scaled down
  rbd_backup.gfs.rbd_restore:
    root: /srv/backup
    cluster: production
    namespace: shop
    claim: data-db-0
    restore_point: gfs-20261122T160000Z
    target:
      image: "{image}"
      overwrite: true

- name: Restore into a raw file, without Ceph and Kubernetes
  rbd_backup.gfs.rbd_restore:
    root: /srv/backup
    cluster: production
    namespace: shop
    claim: data-db-0
    target:
      raw: /srv/scratch/data-db-0.raw
"""

RETURN = r"""
volumes:
  description: What was restored, one entry a volume. Those that failed are in RV(failures).
  returned: success, or when only volumes failed
  type: list
  elements: dict
  contains:
    directory:
      description: The directory of the volume, as an absolute path.
      type: str
      sample: /srv/backup/production/shop/data-db-0/csi-vol-5f1b4c3e-1d1a-4b5e-9a55-0a58a9feac02--10226b8b4567
    <<: &claim
      namespace: {description: Namespace of the claim., type: str, sample: shop}
      claim: {description: Name of the claim., type: str, sample: data-db-0}
    image_id:
      description: Id of the image that was backed up.
      type: str
    restore_point:
      description: The snapshot whose state was restored.
      type: str
      sample: gfs-20261120T170000Z
    time:
      description: Its time.
      type: str
      sample: "2026-11-20T17:00:00Z"
    chain:
      description: The archives that were used, oldest first.
      type: list
      elements: str
    image:
      description: The image that was restored, as pool, RADOS namespace if any, and name; null for a raw file.
      type: str
      sample: replicapool/restored-data-db-0
    raw:
      description: Path of the raw file that was restored; null for an image.
      type: str
    overwritten:
      description: Whether the image existed and was overwritten.
      type: bool
    resumed:
      description:
        - Whether an earlier run had restored the image and could not create its objects (O(manifests.apply)), so that
          it was read and compared, and only what was missing was created.
      type: bool
    size:
      description: Size of the image in bytes.
      type: int
    image_digest:
      description: SHA-256 over the content of what was restored; null in check mode.
      type: str
    image_digest_on_record:
      description:
        - What the digest was found to be when the full was made, or when the restore point was restored before; null
          where it was not. A restore with another digest fails.
      type: str
    image_digest_recorded:
      description:
        - Whether this restore put the digest on record because there was none. False also where the directory of the
          volume could not be written to.
      type: bool
    unproved_joins:
      description:
        - The snapshots at which archives were joined by name alone, with O(accept_unproved); empty where it is proved
          that what was restored is what was backed up.
      type: list
      elements: str
    metadata:
      description: The keys of the metadata that the image got.
      type: list
      elements: str
    manifests:
      description: The persistent volume and the claim for the image, where O(manifests) is given.
      type: list
      elements: dict
    seconds:
      description: How long it took.
      type: float
failures:
  description: The volumes that failed. Nothing was restored of them unless the message says so.
  returned: success, or when only volumes failed
  type: list
  elements: dict
  contains:
    <<: *claim
    image:
      description: The image that was backed up, as pool, RADOS namespace if any, and name.
      type: str
      sample: replicapool/csi-vol-5f1b4c3e-1d1a-4b5e-9a55-0a58a9feac02
    message: {description: "What failed, what was left untouched, and what to do.", type: str}
"""

from ansible_collections.rbd_backup.gfs.plugins.module_utils import _argument_specs as shared
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.restore import run
from ansible_collections.rbd_backup.gfs.plugins.module_utils._adapter import run_module


def main() -> None:
    """Run the module."""
    text = {"type": "str"}
    run_module(
        run,
        {
            **shared.PARALLEL,
            **shared.ARCHIVE,
            **shared.ANY_PREFIX,
            "namespace": text,
            "claim": text,
            "workload": text,
            "directory": text,
            "image_ids": {"type": "list", "elements": "str"},
            "restore_point": {"type": "str", "default": "latest"},
            "accept_unproved": {"type": "bool", "default": False},
            "target": {
                "type": "dict",
                "required": True,
                "required_one_of": [["image", "raw"]],
                "mutually_exclusive": [["image", "raw"]],
                "options": {
                    "image": text,
                    "raw": {"type": "path"},
                    "pool": text,
                    "rados_namespace": text,
                    "data_pool": text,
                    "metadata": {"type": "bool", "default": False},
                    "overwrite": {"type": "bool", "default": False},
                },
            },
            "manifests": {
                "type": "dict",
                "options": {
                    "namespace": text,
                    "claim": text,
                    "persistent_volume": text,
                    "storage_class": text,
                    "cluster_id": text,
                    "file": {"type": "path"},
                    "apply": {"type": "bool", "default": False},
                },
            },
        },
        required_one_of=[["claim", "workload", "directory"]],
        mutually_exclusive=[["claim", "workload", "directory"]],
    )


if __name__ == "__main__":
    main()
