# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots of ours on images that nobody uses, and directories of such."""

from __future__ import annotations

import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.each_volume import describe
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.subjects import Subject
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.rbd import RbdClient
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import (
    CephError,
    KubernetesError,
    NotFound,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec, Listed
from ansible_collections.rbd_backup.gfs.plugins.module_utils._names import snapshot_time


def orphaned_directories(items: t.Iterable[Subject]) -> list[dict[str, t.Any]]:
    """The directories whose volume is not in use."""
    return [
        _orphan(item.volume.spec.pool, item.volume.spec.rados_namespace, item.volume.spec.image, item)
        for item in items
        if item.used is False and item.directory
    ]


def orphaned_snapshots(
    ceph: RbdClient, items: t.Sequence[Subject], prefix: str
) -> tuple[list[dict[str, t.Any]], list[str]]:
    """Look for snapshots of *prefix* on images that nobody uses, in use or in the trash.

    Looks wherever *items* are or were. Returns what was found, and what could not be looked at, in words.
    """
    found: list[dict[str, t.Any]] = []
    problems: list[str] = []
    places = sorted({(item.volume.spec.pool, item.volume.spec.rados_namespace) for item in items})
    for pool, namespace in places:
        try:
            for in_trash, images in (
                (False, _images(ceph, pool, namespace)),
                (True, ceph.trash(pool, namespace)),
            ):
                for image in images:
                    snapshots = [name for name in image.snapshots if snapshot_time(prefix, name) is not None]
                    mine = _subject_of(items, pool, namespace, image)
                    if snapshots and (in_trash or mine is None or mine.used is False):
                        found.append(
                            {
                                **_orphan(pool, namespace, image.name, mine),
                                "image_id": image.id,
                                "in_trash": in_trash,
                                "snapshots": snapshots,
                            }
                        )
        except (CephError, KubernetesError) as error:
            problems.append(describe(error))
    return found, problems


def _images(ceph: RbdClient, pool: str, namespace: str) -> list[Listed]:
    """All images with their snapshots; those that the one listing passes over are asked for one by one."""
    names = ceph.image_names(pool, namespace)
    listed = ceph.list_images(pool, namespace)
    found = [
        Listed(name, image.id, tuple(snapshot.name for snapshot in image.snapshots))
        for name, image in listed.items()
    ]
    for name in sorted(names - set(listed)):
        spec = ImageSpec(pool, namespace, name)
        try:
            snapshots = ceph.snapshots(spec)
            found.append(Listed(name, ceph.info(spec).id, tuple(snapshot.name for snapshot in snapshots)))
        except NotFound:
            continue  # it was removed meanwhile
    return found


def _subject_of(items: t.Iterable[Subject], pool: str, namespace: str, image: Listed) -> Subject | None:
    for item in items:
        spec, identity = item.volume.spec, item.volume.identity
        same = identity.image_id == image.id if identity else spec.image == image.name
        if same and (spec.pool, spec.rados_namespace) == (pool, namespace):
            return item
    return None


def _orphan(pool: str, namespace: str, image: str, item: Subject | None) -> dict[str, t.Any]:
    identity = item.volume.identity if item else None
    return {
        "pool": pool,
        "rados_namespace": namespace,
        "image": image,
        "image_id": identity.image_id if identity else None,
        "in_trash": False,
        "snapshots": [],
        "directory": item.directory.path if item and item.directory else None,
    }
