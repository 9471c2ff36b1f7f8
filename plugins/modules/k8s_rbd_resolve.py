#!/usr/bin/python
# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: k8s_rbd_resolve
short_description: Find the RBD images behind Kubernetes workloads
version_added: 0.1.0
author:
  - rbd_backup.gfs contributors (@rbd-backup)
description:
  - Finds the volumes of the named Deployments and StatefulSets. From a workload it goes to its pods and its templates,
    from there to claims, persistent volumes and RBD images. A workload that is scaled to zero is found as well.
  - Each kind of object is listed once a namespace, persistent volumes and storage classes once a cluster.
  - With O(ceph) each volume's identity is proved against Ceph. An image that contradicts what Kubernetes says of it
    becomes a problem and is left out.
  - What cannot be resolved never fails the task, unless O(strict) is set; it is returned in RV(problems). What can hold
    data and is not backed up is returned in RV(left_out), each with its reason.
extends_documentation_fragment:
  - rbd_backup.gfs.attributes
  - rbd_backup.gfs.attributes.read_only
  - rbd_backup.gfs.ceph
  - rbd_backup.gfs.kubernetes
  - rbd_backup.gfs.common.parallel
options:
  workloads:
    description: The workloads, by namespace.
    type: list
    elements: dict
    required: true
    suboptions:
      namespace:
        description: The namespace.
        type: str
        required: true
      deployments:
        description:
          - A list of names of Deployments and StatefulSets, or the word V(all) for every claim of the namespace, or a
            label selector (a dict with C(matchLabels) or C(matchExpressions)).
          - Where a name exists as both kinds, write C(deployment/name) or C(statefulset/name).
        type: raw
        required: true
  storage_classes:
    description: The storage classes whose volumes are meant. V("") stands for claims without a class.
    type: list
    elements: str
    required: true
  strict:
    description: Fail when there is any problem.
    type: bool
    default: false
  ceph:
    description:
      - How to reach Ceph. Without this option Ceph is not asked, and no identity is proved.
  resolved_for:
    description:
      - The RV(resolved_for) of an earlier task of the same run. If this task asks the same thing of the same API server
        as the same account, it makes no request, and returns RV(reused) true and no volumes - those of the earlier task
        hold. Otherwise, it resolves anew. A kubeconfig or an environment variable that has changed since is noticed.
      - Never keep it from one run to the next, as a resolution that is not of this run misses what is new.
    type: str
seealso:
  - module: rbd_backup.gfs.rbd_snapshot
"""

EXAMPLES = r"""
- name: Find the volumes of two workloads and prove them in Rook's toolbox
  rbd_backup.gfs.k8s_rbd_resolve:
    workloads:
      - namespace: shop
        deployments: [web, statefulset/db]
    storage_classes: [rook-ceph-block]
    ceph:
      mode: pod
  register: resolved

- name: Show what would not be backed up
  ansible.builtin.debug:
    msg: "{{ resolved.left_out + resolved.problems }}"
"""

RETURN = r"""
volumes:
  description: The volumes, in order of namespace and claim.
  returned: always, also when O(strict) fails the task
  type: list
  elements: dict
  contains:
    namespace: {description: Namespace of the claim., type: str, sample: shop}
    claim: {description: Name of the claim., type: str, sample: data-db-0}
    pool:
      description: Pool of the image.
      type: str
      sample: replicapool
    rados_namespace:
      description: RADOS namespace of the image; empty for the default one.
      type: str
      sample: ""
    image:
      description: Name of the image.
      type: str
      sample: csi-vol-5f1b4c3e-1d1a-4b5e-9a55-0a58a9feac02
    fsid:
      description: Id of the Ceph cluster; null without O(ceph), like the next two.
      type: str
    pool_id:
      description: Id of the pool.
      type: int
    image_id:
      description: Id of the image.
      type: str
      sample: 10226b8b4567
    size:
      description: Size of the image in bytes; null without O(ceph), like the next three.
      type: int
      sample: 1073741824
    features:
      description: Features of the image.
      type: list
      elements: str
      sample: [layering, exclusive-lock]
    object_size:
      description: Size of the image's objects in bytes.
      type: int
      sample: 4194304
    parent:
      description: The snapshot that the image is a clone of; null if it is none.
      type: str
      sample: replicapool/csi-snap-2f1b4c3e-1d1a-4b5e-9a55-0a58a9feac02@csi-snap-2f1b4c3e-1d1a-4b5e-9a55-0a58a9feac02
    users:
      description: The workloads that use it. Where V(all) was asked for, also what else does, such as C(job/nightly).
      type: list
      elements: str
      sample: [statefulset/db]
    storage_class:
      description: Its storage class.
      type: str
      sample: rook-ceph-block
    persistent_volume:
      description: Name of its persistent volume.
      type: str
      sample: pvc-0f4d3f1e-0f0c-4f59-9a0e-4a4b2b6a7d3c
    form:
      description: By which rule the image was found.
      type: str
      sample: ceph-csi
    manifests:
      description:
        - The objects C(claim), C(persistent_volume) and C(storage_class), as far as they are needed to bring the volume
          back into a cluster.
      type: dict
left_out:
  description:
    - What can hold data and is not backed up.
    - It is not called C(skipped), because Ansible takes a task with such a result for one that did not run.
  returned: always, also when O(strict) fails the task
  type: list
  elements: dict
  contains:
    namespace:
      description: The namespace.
      type: str
    workload:
      description: The workload that uses it; null if none does.
      type: str
    claim:
      description: The claim; null for a volume without one.
      type: str
    volume:
      description: The volume's name within the pod; null for a claim.
      type: str
    reason:
      description: Why it is not backed up.
      type: str
      sample: its storage class is 'standard', which is not among those to be backed up
    warning:
      description: Whether it is data that somebody may miss, and a warning is given too. That is an RBD image left out
        for its class or as mirroring's copy, and a claim of a class to be backed up whose persistent volume is gone.
      type: bool
problems:
  description: What could not be resolved.
  returned: always, also when O(strict) fails the task
  type: list
  elements: dict
  contains:
    namespace:
      description: The namespace; null where it concerns the whole cluster.
      type: str
    workload:
      description: The workload as it was written; null where it is not about one.
      type: str
    claim:
      description: The claim; null where it is not about one.
      type: str
    message:
      description: What was asked and what came of it.
      type: str
requests:
  description:
    - How many requests were made of the Kubernetes API to resolve, retries included.
    - Four a namespace, one more where it has Deployments and pods, two for the cluster, and one for each page of 500
      objects after the first.
  returned: always, also when O(strict) fails the task
  type: int
  sample: 8
resolved_for:
  description:
    - What was asked, of which API server, and as whom, as a SHA-256, for the option O(resolved_for) of later tasks.
    - No password is in it. Null when Kubernetes or Ceph could not be asked.
  returned: always, also when O(strict) fails the task
  type: str
reused:
  description: Whether nothing was asked because O(resolved_for) says that this was resolved already.
  returned: always, also when O(strict) fails the task
  type: bool
"""

from ansible_collections.rbd_backup.gfs.plugins.module_utils import _argument_specs as shared
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.resolve import run
from ansible_collections.rbd_backup.gfs.plugins.module_utils._adapter import run_module


def main() -> None:
    """Run the module."""
    run_module(
        run,
        {
            **shared.OPTIONAL_CEPH,
            **shared.PARALLEL,
            "workloads": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "namespace": {"type": "str", "required": True},
                    "deployments": {"type": "raw", "required": True},
                },
            },
            "storage_classes": {"type": "list", "elements": "str", "required": True},
            "strict": {"type": "bool", "default": False},
            "resolved_for": {"type": "str"},
        },
    )


if __name__ == "__main__":
    main()
