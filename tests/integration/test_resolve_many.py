# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A thousand claims in twenty namespaces of the lab's API server, and what finding them costs."""

from __future__ import annotations

from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.client import connect
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.resolve import resolve
from ansible_collections.rbd_backup.gfs.tests.integration.conftest import Lab
from ansible_collections.rbd_backup.gfs.tests.integration.many_claims import ManyClaims
from ansible_collections.rbd_backup.gfs.tests.integration.processes import eventually
from ansible_collections.rbd_backup.gfs.tests.integration.sources import BLOCK

NAMESPACES, CLAIMS = 20, 50


def test_a_thousand_claims_in_twenty_namespaces(lab: Lab) -> None:
    many = ManyClaims(lab.admin_kubeconfig, NAMESPACES, CLAIMS, BLOCK)
    with many.made():
        wanted = [{"namespace": name, "deployments": ["web"]} for name in many.namespaces]

        def settled() -> bool:
            lost = resolve(connect({"kubeconfig": lab.kubeconfig}), wanted, [BLOCK]).skipped
            for item in lost:
                many.mark_bound(item["namespace"], item["claim"])
            return not lost

        eventually(settled, seconds=120)
        for page_size, pages in ((500, 0), (40, NAMESPACES)):
            cluster = connect({"kubeconfig": lab.kubeconfig}, page_size=page_size)
            result = resolve(cluster, wanted, [BLOCK])
            assert (result.problems, result.skipped) == ([], [])
            assert {
                (item.volume.namespace, item.volume.claim): item.volume.spec.image for item in result.volumes
            } == {
                (namespace, claim): many.image(namespace, claim)
                for namespace in many.namespaces
                for claim in many.claims
            }
            # Deployments, StatefulSets, claims and pods of each namespace, and storage classes. The persistent volumes
            # are the whole cluster's, also those of other tests, and take one request a page.
            volumes = 1000 // page_size
            fixed = NAMESPACES * 4 + pages + 1
            others = 1 + 500 // page_size
            assert fixed + volumes <= result.requests <= fixed + volumes + others
            print(f"{result.requests} requests with pages of {page_size}")
