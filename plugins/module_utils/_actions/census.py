# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Ceph says of the volumes of a run, asked for with as few commands as can be.

A pool (or a RADOS namespace in one) is listed once for all its volumes. That is enough to find out that nothing is to
be done. What the listing leaves out is asked for alone. Whoever writes anything for a volume reads that one anew just
before, with :func:`read_volume`.
"""

from __future__ import annotations

import collections
import dataclasses
import threading
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.volumes import (
    check_identity,
    prove_identity,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.failures import is_unanswered
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.rbd import RbdClient
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import CephError, NotFound
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import (
    Identity,
    ImageInfo,
    ListedImage,
    Snapshot,
    Volume,
)

# A listing opens every image of the pool, whosever it is: for so few volumes it is not worth it.
WORTH_A_LISTING = 5

# Where there is no listing: after so many questions to a pool that were not answered in time it is asked no more.
PATIENCE = 3


@dataclasses.dataclass(frozen=True)
class Seen:
    """A volume as Ceph showed it: its proved identity, its size in bytes, its snapshots in ascending id.

    ``info`` is what only the image itself tells; None where a listing was enough.
    """

    identity: Identity
    size: int
    snapshots: tuple[Snapshot, ...]
    info: ImageInfo | None = dataclasses.field(default=None, compare=False)


class Census:
    """The volumes of a run as Ceph shows them when the first of their pool is looked at. Safe to use from several
    threads.

    Pools with fewer than ``WORTH_A_LISTING`` volumes are not listed: their volumes are read one by one.
    """

    def __init__(self, ceph: RbdClient, volumes: t.Iterable[Volume]) -> None:
        self._ceph = ceph
        wanted: dict[tuple[str, str], set[str]] = collections.defaultdict(set)
        for volume in volumes:
            wanted[volume.spec.pool, volume.spec.rados_namespace].add(volume.spec.image)
        self._lists = {
            place: _PoolList(ceph, place, images)
            for place, images in wanted.items()
            if len(images) >= WORTH_A_LISTING
        }

    def look(self, volume: Volume) -> Seen:
        """Return what Ceph says of *volume*, and hold its identity against the one that resolution proved.

        Raises CephError or NotFound, BackupError when the name now leads to another image. What hinders the opening
        of one image is the error of that one alone, also where it hinders the listing of its pool.
        """
        pool = self._lists.get((volume.spec.pool, volume.spec.rados_namespace))
        if pool is None:
            return read_volume(volume, self._ceph)
        listed = pool.find(volume.spec.image)
        if listed is not None:
            identity = self._ceph.identity(volume.spec, listed)
            return Seen(check_identity(volume, identity), listed.size, listed.snapshots)
        try:
            return read_volume(volume, self._ceph)
        except NotFound as error:
            if pool.has_name(volume.spec.image):
                what = f"The image {volume.spec} of claim {volume.namespace}/{volume.claim}"
                raise cannot_be_opened(what, error) from None
            raise
        except CephError as error:
            pool.failed(error)
            raise


def read_volume(volume: Volume, ceph: RbdClient) -> Seen:
    """Ask Ceph for one *volume* alone, as it is now; also for what a listing does not tell.

    Raises as :meth:`Census.look`.
    """
    identity, info = prove_identity(volume, ceph)
    return Seen(identity, info.size, ceph.snapshots(volume.spec), info)


def cannot_be_opened(what: str, error: NotFound) -> CephError:
    """The error that *what*, an image, is there and cannot be opened, although Ceph says that it is not found."""
    return CephError(
        f"{what} is listed in its pool, but it cannot be opened: parts of it are missing, or it is being removed. "
        f"{error.message}",
        **error.details,
    )


class _PoolList:
    """The images of one pool or RADOS namespace, each question asked once; a failure is the answer from then on."""

    def __init__(self, ceph: RbdClient, place: tuple[str, str], wanted: t.Collection[str]) -> None:
        self._images = _Once(lambda: self._wanted_of(ceph.list_images(*place)))
        self._names = _Once(lambda: ceph.image_names(*place))
        self._wanted = wanted
        self._unanswered = 0

    def find(self, image: str) -> ListedImage | None:
        """Return what the listing says of *image*; None where it has to be asked for alone.

        One entry that cannot be read makes ``rbd`` give no listing at all (seen with 16.2), which says nothing of the
        others. Raises CephError where there is none and enough of them gave no answer either.
        """
        try:
            found = self._images.get().get(image)
        except CephError as error:
            if self._unanswered + is_unanswered(error) >= PATIENCE:
                raise
            return None
        return found if found and found.snapshots else None

    def failed(self, error: CephError) -> None:
        """Note how an image failed that was asked for alone."""
        if is_unanswered(error):
            self._unanswered += 1  # not guarded: one that is lost costs one more question

    def has_name(self, image: str) -> bool:
        """Return whether the pool has an *image* of that name, be it in whatever state. Raises CephError."""
        return image in self._names.get()

    def _wanted_of(self, listed: t.Mapping[str, ListedImage]) -> dict[str, ListedImage]:
        return {image: listed[image] for image in self._wanted if image in listed}


Answer = t.TypeVar("Answer")


class _Once(t.Generic[Answer]):
    def __init__(self, ask: t.Callable[[], Answer]) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._answer: Answer | None = None
        self._error: CephError | None = None

    def get(self) -> Answer:
        with self._lock:
            if self._answer is None and self._error is None:
                try:
                    self._answer = self._ask()
                except CephError as error:
                    self._error = error
            if self._error is not None:  # a new one for each, as every raise adds to an exception's traceback
                raise type(self._error)(self._error.message, **self._error.details)
            return t.cast(Answer, self._answer)
