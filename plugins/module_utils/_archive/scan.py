# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding the volumes of a backup set by what their ``volume.json`` says."""

from __future__ import annotations

import dataclasses
import functools
import os
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive import names
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.files import os_errors
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.problems import (
    DAMAGED,
    MISSING,
    REFUSED,
    UNREADABLE,
    Problem,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.volume_directory import VolumeDirectory
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import ArchiveError
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Identity

_UNKNOWN = "Nothing was changed, and nothing is known of the backup set."
_LINK = "is a symbolic link, which looks like no volume when its target is not mounted: put a mount point in its place"
_LEVELS = 3  # namespace, claim, image


@dataclasses.dataclass(frozen=True)
class Scan:
    """The volumes of a backup set, and the directories of which it cannot be said whose they are."""

    volumes: tuple[VolumeDirectory, ...]
    problems: tuple[Problem, ...]

    @functools.cached_property
    def _by_identity(self) -> dict[Identity, list[VolumeDirectory]]:
        found: dict[Identity, list[VolumeDirectory]] = {}
        for volume in self.volumes:
            found.setdefault(volume.identity, []).append(volume)
        return found

    def find(self, identity: Identity) -> VolumeDirectory | None:
        """Return the directory of the volume *identity*; None is a fact: it has none.

        Raises ArchiveError (REFUSED) when it has two, or when one of ``problems`` could be it.
        """
        found = self._by_identity.get(identity, [])
        if len(found) == 1:
            return found[0]
        if found:
            raise ArchiveError(
                f"The image id {identity.image_id} has more than one directory: "
                f"{', '.join(volume.path for volume in found)}. Nothing was changed. Move all but the right "
                "one out of the backup set.",
                kind=REFUSED,
                paths=[volume.path for volume in found],
            )
        if self.problems:
            raise ArchiveError(
                f"The image id {identity.image_id} has no directory that can be identified, but the backup "
                "set holds some that cannot, and one of them could be it: "
                f"{' '.join(p.message for p in self.problems)} Nothing was changed, and no second chain was "
                "begun.",
                kind=REFUSED,
                paths=[problem.file for problem in self.problems],
            )
        return None


def scan(path: str, fsid: str) -> Scan:
    """Read every ``volume.json`` of the backup set in *path* that belongs to the Ceph cluster *fsid*.

    One that cannot be read is a problem, which stops the work on it alone. Raises ArchiveError (UNREADABLE) where the
    storage does not answer or denies access to directories above volumes: then nothing is known.
    """
    volumes: list[VolumeDirectory] = []
    problems: list[Problem] = []
    for relative, is_link in _directories(path):
        found = _problem(path, relative, _LINK) if is_link else _volume(path, relative, fsid)
        if isinstance(found, Problem):
            problems.append(found)
        elif found:
            volumes.append(found)
    return Scan(tuple(volumes), tuple(problems))


def _volume(path: str, relative: str, fsid: str) -> VolumeDirectory | Problem | None:
    try:
        volume = VolumeDirectory.read(os.path.join(path, relative))
    except ArchiveError as error:
        kind = error.details.get("kind")
        if kind in (DAMAGED, UNREADABLE):
            return Problem(relative, error.message, kind)
        if kind == MISSING:
            unused = is_unused(os.path.join(path, relative))
            return None if unused else _problem(path, relative, "has no volume.json")
        raise
    if volume.identity.fsid != fsid:
        return _problem(
            path, relative, f"belongs to the Ceph cluster {volume.identity.fsid}, and the set to {fsid}"
        )
    return volume


def is_unused(path: str) -> bool:
    """Whether the directory *path* holds nothing but what an interrupted creation leaves. Raises ArchiveError."""
    with os_errors("list", path, UNREADABLE, _UNKNOWN):
        return all(file == names.LOCK_FILE or names.is_temporary(file) for file in os.listdir(path))


def _problem(path: str, relative: str, what: str) -> Problem:
    return Problem(relative, f"The directory {os.path.join(path, relative)} {what}.", REFUSED)


def _directories(path: str, above: str = "", level: int = 1) -> t.Iterator[tuple[str, bool]]:
    """The directories at the depth of volumes, and links at any depth, relative to *path*."""
    where = os.path.join(path, above)
    with os_errors("list", where, UNREADABLE, _UNKNOWN), os.scandir(where) as entries:
        # a file system of its own brings lost+found; snapshots of a file server hide behind a dot
        found = sorted(
            (entry.name, entry.is_symlink())
            for entry in entries
            # not a file: a directory, or a link that leads nowhere, as one to a disk that is not mounted
            if not entry.is_file() and entry.name != "lost+found" and not entry.name.startswith(".")
        )
    for name, is_link in found:
        relative = os.path.join(above, name)
        if is_link or level == _LEVELS:
            yield relative, is_link
        else:
            yield from _directories(path, relative, level + 1)
