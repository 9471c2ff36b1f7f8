# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots of ours on images that nobody uses, and directories of such."""

from __future__ import annotations

import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.census import (
    PATIENCE,
    cannot_be_opened,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.each_volume import describe
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.subjects import Subject
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.failures import is_unanswered
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.rbd import RbdClient
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import (
    CephError,
    KubernetesError,
    NotFound,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import (
    ImageSpec,
    Listed,
    Snapshot,
)
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
    for place in places:
        search = _Search(ceph, place, prefix)
        here = [item for item in items if (item.volume.spec.pool, item.volume.spec.rados_namespace) == place]
        for image, in_trash in search.run(here):
            mine = _subject_of(here, image)
            if in_trash or mine is None or mine.used is False:
                found.append(
                    {
                        **_orphan(*place, image.name, mine),
                        "image_id": image.id,
                        "in_trash": in_trash,
                        "snapshots": list(image.snapshots),
                    }
                )
        problems += search.problems
    return found, problems


class _Search:
    """Looks for images with snapshots of *prefix* in one pool or RADOS namespace.

    What cannot be looked at is noted in ``problems``, and hides nothing else. After ``PATIENCE`` questions that were
    not answered no more are asked.
    """

    def __init__(self, ceph: RbdClient, place: tuple[str, str], prefix: str) -> None:
        self.problems: list[str] = []
        self._ceph = ceph
        self._place = place
        self._prefix = prefix
        self._unanswered = 0

    def run(self, known: t.Iterable[Subject]) -> list[tuple[Listed, bool]]:
        """The images, each with whether it is in the trash.

        Where the names of those outside the trash cannot be listed, volumes *known* that are not in use must do.
        """
        try:
            names = self._ceph.image_names(*self._place)
        except NotFound as error:  # there is no such pool any more
            self.problems.append(describe(error))
            return []
        except (CephError, KubernetesError) as error:
            self._note(error)
            unused = {item.volume.spec.image for item in known if item.used is False}
            images = self._each(unused, lambda name: self._alone(name, lambda: False))
        else:
            listed = self._listed()
            images = [image for image in listed if image.snapshots]
            left = names - {image.name for image in listed}
            images += self._each(
                left,
                lambda name: self._alone(name, lambda: name in self._ceph.image_names(*self._place)),
            )
        return [(image, False) for image in images] + [(image, True) for image in self._trash()]

    def _listed(self) -> list[Listed]:
        """Those that the listing shows. Where there is none, what hinders it shows when each is asked for alone."""
        try:
            found = self._ceph.list_images(*self._place)
        except (CephError, KubernetesError) as error:
            self._unanswered += _is_unanswered(error)
            return []
        return [Listed(name, image.id, self._ours(image.snapshots)) for name, image in found.items()]

    def _alone(self, name: str, is_there: t.Callable[[], bool]) -> Listed | None:
        spec = ImageSpec(*self._place, name)
        try:
            ours = self._ours(self._ceph.snapshots(spec))
            return Listed(name, self._ceph.info(spec).id, ours) if ours else None
        except NotFound as error:
            if is_there():
                raise cannot_be_opened(f"The image {spec}", error) from None
            return None

    def _trash(self) -> list[Listed]:
        try:
            names = self._ceph.trash(*self._place)
        except (CephError, KubernetesError) as error:
            self._note(error)
            return []

        def look(number: str) -> Listed | None:
            try:
                ours = self._ours(self._ceph.snapshots_in_trash(*self._place, number))
            except NotFound:
                if number in self._ceph.trash(*self._place):
                    raise
                return None  # it left the trash meanwhile
            return Listed(names[number], number, ours) if ours else None

        return self._each(names, look)

    def _ours(self, snapshots: t.Iterable[Snapshot]) -> tuple[str, ...]:
        return tuple(s.name for s in snapshots if snapshot_time(self._prefix, s.name) is not None)

    def _each(self, keys: t.Collection[str], look: t.Callable[[str], Listed | None]) -> list[Listed]:
        found = []
        for number, key in enumerate(sorted(keys)):
            if self._unanswered >= PATIENCE:
                self.problems.append(
                    f"{len(keys) - number} more image(s) of {'/'.join(filter(None, self._place))} were not looked at, "
                    f"because {PATIENCE} questions were not answered."
                )
                break
            try:
                image = look(key)
            except (CephError, KubernetesError) as error:
                self._note(error)
            else:
                found += [image] if image else []
        return found

    def _note(self, error: CephError | KubernetesError) -> None:
        self.problems.append(describe(error))
        self._unanswered += _is_unanswered(error)


def _is_unanswered(error: CephError | KubernetesError) -> bool:
    return isinstance(error, KubernetesError) or is_unanswered(error)


def _subject_of(items: t.Iterable[Subject], image: Listed) -> Subject | None:
    for item in items:
        spec, identity = item.volume.spec, item.volume.identity
        if identity.image_id == image.id if identity else spec.image == image.name:
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
