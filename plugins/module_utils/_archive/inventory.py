# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What lies in a volume's directory: archives that are recorded, and everything that is not as it should be."""

from __future__ import annotations

import dataclasses
import os
import stat
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive import names
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.files import (
    not_regular,
    os_errors,
    read_json,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.manifest import Manifest
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.problems import (
    DAMAGED,
    MANIFEST,
    MISSING,
    REFUSED,
    UNREADABLE,
    Problem,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import ArchiveError
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Archive, Identity


@dataclasses.dataclass(frozen=True)
class Inventory:
    """What a volume's directory holds. All file names are relative to it.

    ``archives`` are recorded: their manifest is valid and their size is the recorded one; ascending by name,
    which is by time. ``problems`` are defects proved by reading; each concerns one archive, named by its
    file. ``unpublished`` are archives without a manifest, ``superseded`` the ``.bad-<time>`` ones,
    ``removing`` archives whose removal was interrupted.
    """

    archives: tuple[Archive, ...]
    problems: tuple[Problem, ...]
    temporaries: tuple[str, ...]
    unpublished: tuple[str, ...]
    superseded: tuple[str, ...]
    removing: tuple[str, ...]

    def without(self, problems: t.Iterable[Problem]) -> Inventory:
        """What is left when archives were read and found to have *problems*."""
        found = {problem.file: problem for problem in problems}
        return dataclasses.replace(
            self,
            archives=tuple(archive for archive in self.archives if archive.file not in found),
            problems=(*self.problems, *found.values()),
        )


def take_inventory(path: str, identity: Identity, prefix: str) -> Inventory:
    """Look at everything of *prefix* in the directory *path* of the volume *identity*.

    Raises ArchiveError (UNREADABLE) where the storage does not answer or denies access, and (REFUSED) where a
    manifest has a later format or is no file: then nothing is known.
    """
    untouched = "Nothing was changed, and nothing is known of this volume's archives."
    with os_errors("list", path, UNREADABLE, untouched):
        directory = os.stat(path)
        listed = sorted(os.listdir(path))
    manifests = [archive for archive in map(names.archive_of_manifest, listed) if archive is not None]
    removing = tuple(archive for archive in map(names.archive_of_removal, listed) if archive is not None)
    ours = {file for file in {*listed, *manifests} if names.parse_archive_name(prefix, file)}
    archives: list[Archive] = []
    problems: list[Problem] = []
    for file in manifests:
        if file in ours:
            found = _recorded(path, file, identity)
            if isinstance(found, Problem):
                problems.append(found)
            elif found:
                archives.append(found)
    with os_errors("list", path, UNREADABLE, untouched):
        if not os.path.samestat(directory, os.stat(path)):
            raise ArchiveError(
                f"{path} was mounted, unmounted or replaced while it was read. {untouched} Run again.",
                kind=UNREADABLE,
                path=path,
            )
    return Inventory(
        archives=tuple(archives),
        problems=tuple(problems),
        temporaries=tuple(file for file in listed if names.is_temporary(file)),
        unpublished=tuple(
            file for file in listed if file in ours and file not in manifests and file not in removing
        ),
        superseded=tuple(file for file in listed if names.name_before_bad(file)),
        removing=removing,
    )


def _recorded(path: str, file: str, identity: Identity) -> Archive | Problem | None:
    """The archive *file*, or what is wrong with it; None when its manifest went away since the listing."""
    manifest_path = os.path.join(path, names.manifest_name(file))
    try:
        manifest = Manifest.from_json(read_json(manifest_path), manifest_path)
    except ArchiveError as error:
        kind = error.details.get("kind")
        if kind == MISSING:
            return None
        if kind == DAMAGED:
            return Problem(file, error.message, MANIFEST)
        raise
    if manifest.file != file:
        return Problem(file, f"{manifest_path} is the manifest of {manifest.file}, not of {file}.", MANIFEST)
    if manifest.origin.identity != identity:
        return Problem(
            file,
            f"{manifest_path} speaks of image id {manifest.origin.identity.image_id}, and the directory "
            f"belongs to image id {identity.image_id}: it was put there by hand.",
            REFUSED,
        )
    return _check_size(path, manifest)


def _check_size(path: str, manifest: Manifest) -> Archive | Problem | None:
    archive_path = os.path.join(path, manifest.file)
    with os_errors(
        "look at", archive_path, UNREADABLE, "Nothing was changed, and this is no proof of damage."
    ):
        try:
            status = os.lstat(archive_path)
        except FileNotFoundError:
            if not os.path.lexists(names.manifest_name(archive_path)):
                return None
            return Problem(
                manifest.file, f"Archive {archive_path} is missing, its manifest is there.", MISSING
            )
    if not stat.S_ISREG(status.st_mode):
        raise not_regular(archive_path)
    if status.st_size != manifest.stored_bytes:
        return Problem(
            manifest.file,
            f"Archive {archive_path} is damaged: it has {status.st_size} bytes, and its manifest records "
            f"{manifest.stored_bytes}.",
            DAMAGED,
        )
    return manifest.archive()
