# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How to reach Ceph."""

from __future__ import annotations


class ModuleDocFragment:
    """The option ``ceph``."""

    DOCUMENTATION = r"""
options:
  ceph:
    description:
      - How to reach Ceph. As with O(ceph.mode=local) if not given.
    type: dict
    suboptions:
      mode:
        description:
          - V(local) runs C(rbd) and C(ceph) on the host that runs the module.
          - V(pod) runs them in a pod of the Kubernetes cluster, by exec through the Kubernetes API with the credentials
            of the other options. Neither Ceph's programs nor C(kubectl) are needed on the host; the pod needs
            C(python3).
        type: str
        choices: [local, pod]
        default: local
      conf:
        description:
          - Absolute path of the C(ceph.conf), on the host or, with O(ceph.mode=pod), in the pod.
          - Where Ceph itself looks for it if not given. Rook's toolbox needs none; in Rook's operator pod it is
            C(/var/lib/rook/<namespace>/<namespace>.config).
        type: str
      keyring:
        description:
          - Absolute path of the keyring, where O(ceph.conf) is. Where Ceph itself looks for it if not given.
        type: str
      user:
        description:
          - The cephx user without the C(client.), for example V(backup).
          - Ceph's own default, V(admin), if not given. A user with the capabilities C(mon 'profile rbd') and
            C(osd 'profile rbd pool=...') is enough.
        type: str
      namespace:
        description: With O(ceph.mode=pod), the namespace of the pod.
        type: str
        default: rook-ceph
      selector:
        description:
          - With O(ceph.mode=pod), the labels of the pod. The newest running and ready pod that has them is used.
        type: str
        default: app=rook-ceph-tools
      container:
        description: With O(ceph.mode=pod), the container to run in. The pod's first if not given.
        type: str
      command_timeout:
        description:
          - Seconds after which a command other than an export, an import or the removal of an image is ended and
            counts as failed. Half of it is allowed for reaching a monitor.
        type: int
        default: 60
      stall_timeout:
        description:
          - Seconds that an export, an import or the removal of an image may stand still, with neither data nor
            progress, before it is ended and counts as failed. It may last as long as it likes while it goes on.
          - The listing of a pool, with which a run over five volumes of it or more begins, is ended after as long.
        type: int
        default: 600
      extra_args:
        description:
          - More arguments for every C(rbd) and C(ceph) command, for example V(["--cluster", "east"]).
          - Arguments can be seen by other users of the host or the pod. Never put a key here.
        type: list
        elements: str
        default: []
"""
