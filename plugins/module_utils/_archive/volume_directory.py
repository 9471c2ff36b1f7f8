# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directory of one volume: what it holds, and removing from it.

It is found by the identity in ``volume.json``, never by its path.
"""

from __future__ import annotations

import copy
import datetime as dt
import os
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive import names
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.fields import Fields
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.files import (
    atomic_write_json,
    os_errors,
    read_json,
    remove_files,
    remove_if_there,
    sync_directory,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.held import (
    check_held,
    check_removal,
    end_removal,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.inventory import (
    Inventory,
    take_inventory,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.manifest import (
    identity_from_json,
    identity_to_json,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.problems import (
    REFUSED,
    UNREADABLE,
    UNWRITABLE,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import ArchiveError
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import (
    Archive,
    Identity,
    ImageInfo,
    Volume,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._names import format_utc, parse_utc

FORMAT = 1
_WORKLOADS = ("deployment/", "statefulset/")
_DESCRIPTION = ("volume", "image", "manifests")


def describe(volume: Volume, info: ImageInfo, metadata: t.Mapping[str, str]) -> dict[str, t.Any]:
    """Put together what ``volume.json`` keeps beside the identity, for people and for a bare restore.

    *metadata* is the image's metadata in Ceph. The Kubernetes objects come from ``volume.manifests``.
    """
    return {
        "volume": {
            "namespace": volume.namespace,
            "claim": volume.claim,
            "pool": volume.spec.pool,
            "rados_namespace": volume.spec.rados_namespace,
            "image": volume.spec.image,
            **_workloads(volume),
        },
        "image": {
            "size": info.size,
            "object_size": info.object_size,
            "features": list(info.features),
            "parent": info.parent,
            "data_pool": info.data_pool,
            "stripe_unit": info.stripe_unit,
            "stripe_count": info.stripe_count,
            "metadata": dict(metadata),
        },
        "manifests": copy.deepcopy(dict(volume.manifests)),
    }


def _workloads(volume: Volume) -> dict[str, list[str]]:
    if volume.users is None:
        return {}
    # not pods and jobs: their names change with every run
    return {"workloads": sorted(user for user in volume.users if user.startswith(_WORKLOADS))}


def is_key(name: str) -> bool:
    """Whether an entry of an image's metadata of this *name* is what ceph-csi decrypts the image with."""
    return name.lstrip(".") in ("rbd.csi.ceph.com/encrypted", "rbd.csi.ceph.com/dek")


def metadata_at(description: t.Mapping[str, t.Any], time: dt.datetime) -> dict[str, str]:
    """The image's metadata in *description*, with the key that a restore point of *time* needs."""
    image = description["image"]
    metadata: dict[str, str] = dict(image.get("metadata") or {})
    for former in image.get("former_keys") or ():
        if time <= parse_utc(former["until"]):
            return {**{name: metadata[name] for name in metadata if not is_key(name)}, **former["metadata"]}
    return metadata


def perhaps_needed(description: t.Mapping[str, t.Any], time: dt.datetime) -> dict[str, str]:
    """The former key that a restore point of *time* may need in place of the one that :func:`metadata_at` gives.

    Empty where that is known: nobody saw the key while it was changed, and so not that of a snapshot that was taken
    between the newest restore point before the change and the run that noticed it.
    """
    for former in description["image"].get("former_keys") or ():
        # those of before this was noted say nothing of it
        if parse_utc(former["until"]) < time <= parse_utc(former.get("noticed", former["until"])):
            return dict(former["metadata"])
    return {}


def _with_former_keys(
    before: t.Mapping[str, t.Any], description: t.Mapping[str, t.Any], newest: dt.datetime | None
) -> t.Mapping[str, t.Any]:
    former = list(before["image"].get("former_keys") or ())
    was, becomes = (
        {name: value for name, value in (one["image"].get("metadata") or {}).items() if is_key(name)}
        for one in (before, description)
    )
    if newest and was and was != becomes:
        noticed = format_utc(dt.datetime.now(dt.timezone.utc))
        former.append({"until": format_utc(newest), "noticed": noticed, "metadata": was})
    return (
        {**description, "image": {**description["image"], "former_keys": former}} if former else description
    )


class VolumeDirectory:
    """One volume's directory. ``description`` is what :func:`describe` put together when it was last written.

    Everything that writes or removes is done by the holder of the directory's VolumeLock.
    """

    def __init__(
        self, path: str, identity: Identity, description: t.Mapping[str, t.Any], created: dt.datetime
    ) -> None:
        self.path = path
        self.identity = identity
        self.description = dict(description)
        self.created = created

    def __str__(self) -> str:
        volume = self.description["volume"]
        return f"{volume['namespace']}/{volume['claim']} ({self.path})"

    @classmethod
    def read(cls, path: str) -> VolumeDirectory:
        """Read ``volume.json`` in *path*. Raises ArchiveError (MISSING, UNREADABLE, DAMAGED)."""
        file = os.path.join(path, names.VOLUME_FILE)
        fields = Fields(read_json(file), file)
        fields.check_format(FORMAT)
        volume = fields.part("volume")
        for key in ("namespace", "claim", "pool", "rados_namespace", "image"):
            volume.text(key, empty=True)
        description = {key: fields.mapping(key) for key in _DESCRIPTION}
        return cls(path, identity_from_json(fields.part("identity")), description, fields.time("created"))

    def check_still_there(self) -> None:
        """Make sure, once the directory is locked, that it is still that volume's: it may have been removed since it
        was found, and archives without ``volume.json`` would be nobody's. Another run may also have changed
        ``description`` since, which is read anew: a key that it has put aside must stay. Raises ArchiveError."""
        found = VolumeDirectory.read(self.path)
        if found.identity != self.identity:
            raise ArchiveError(
                f"{self.path} was replaced by the directory of another volume since this run began. Nothing was "
                "changed. Run again.",
                kind=REFUSED,
                path=self.path,
            )
        self.description = found.description

    def save(self) -> None:
        """Write ``volume.json``. Raises ArchiveError (UNWRITABLE)."""
        content = {
            "format": FORMAT,
            "created": format_utc(self.created),
            "identity": identity_to_json(self.identity),
            **{key: self.description[key] for key in _DESCRIPTION},
        }
        atomic_write_json(
            os.path.join(self.path, names.VOLUME_FILE), content, "The one before was left untouched."
        )

    def update_description(
        self, description: t.Mapping[str, t.Any], newest: dt.datetime | None = None
    ) -> bool:
        """Write *description* where it differs from what is there, and return whether it did. Raises ArchiveError.

        *newest* is the time of the newest restore point that there is. Where the key of an encrypted image is another
        one since, the restore points up to then still need the one before, which is kept for them.
        """
        description = _with_former_keys(self.description, description, newest)
        if dict(description) == self.description:
            return False
        changed = VolumeDirectory(self.path, self.identity, copy.deepcopy(dict(description)), self.created)
        changed.save()
        self.description = changed.description
        return True

    def path_of(self, archive: Archive) -> str:
        """The path of an archive's file."""
        return os.path.join(self.path, archive.file)

    def archives(self, prefix: str) -> Inventory:
        """Look at everything of *prefix* in the directory. Raises ArchiveError where that is impossible."""
        return take_inventory(self.path, self.identity, prefix)

    def check_removal(self) -> None:
        """Make sure that archives may be removed now, and keep readers out until :meth:`end_removal`.

        Giving the lock back lets them in as well. Raises LockedError when somebody reads them or the lock was lost;
        ArchiveError.
        """
        with os_errors("look for readers in", self.path, UNREADABLE, "No archive was removed."):
            check_removal(self.path)

    def end_removal(self) -> None:
        """Let readers in again after the last archive was removed. Raises LockedError; ArchiveError."""
        with os_errors("let readers into", self.path, UNWRITABLE, "Nothing was changed by that."):
            end_removal(self.path)

    def check_lock(self) -> None:
        """Make sure that the lock, where we took it, is still ours. Raises LockedError; ArchiveError."""
        with os_errors("look at the lock of", self.path, UNREADABLE, "Nothing was changed by that."):
            check_held(self.path)

    def remove_archive(self, archive: Archive) -> None:
        """Remove a published archive and its manifest. Raises ArchiveError (UNWRITABLE); LockedError.

        First the manifest is renamed to ``<archive>.removing``. From then on the archive is no longer
        published, and its bytes cannot be taken for an archive that lost its manifest: whoever takes the lock
        next finishes the removal with :meth:`clean_temporaries`.
        """
        path = self.path_of(archive)
        self.check_removal()
        with os_errors(
            "remove archive", path, UNWRITABLE, "What was not removed yet goes with the next run."
        ):
            os.rename(names.manifest_name(path), names.removal_name(path))
            sync_directory(self.path)
            self._finish_removal(archive.file)

    def has_traces(self, file: str) -> bool:
        """Whether anything bears the name of the archive *file* or bore it once: it, its manifest, a ``.bad-``."""
        mine = (file, names.manifest_name(file))
        with os_errors("list", self.path, UNREADABLE, "Nothing was changed."):
            return any(
                found in mine or names.name_before_bad(found) in mine for found in os.listdir(self.path)
            )

    def remove_superseded(self, archive: Archive, others: t.Collection[str] = ()) -> tuple[str, ...]:
        """Remove what ``.bad-<time>`` kept of the name of *archive*, and the archives *others*; return the files.

        Only for an *archive* that was proved by reading it from the disk. Raises ArchiveError.
        """
        mine = {archive.file, names.manifest_name(archive.file)}
        theirs = {name for file in others for name in (file, names.manifest_name(file))} - mine
        return remove_files(
            self.path, lambda file: file in theirs or names.name_before_bad(file) in mine | theirs
        )

    def has_leftovers(self) -> bool:
        """Whether there is something for :meth:`clean_temporaries` to do. Raises ArchiveError (UNREADABLE)."""
        with os_errors("list", self.path, UNREADABLE, "Nothing was changed."):
            return any(
                names.is_temporary(file) or names.archive_of_removal(file) for file in os.listdir(self.path)
            )

    def foreign(self, inventory: Inventory) -> tuple[str, ...]:
        """Return what lies in the directory and is not ours. Raises ArchiveError (UNREADABLE)."""
        published = [archive.file for archive in inventory.archives]
        ours = {
            *(names.VOLUME_FILE, names.PROOF_FILE, names.LOCK_FILE),
            *inventory.temporaries,
            *inventory.superseded,
            *inventory.removing,
            *map(names.removal_name, inventory.removing),
            *published,
            *map(names.manifest_name, published),
        }
        with os_errors("list", self.path, UNREADABLE, "Nothing was changed."):
            # an NFS client keeps files of this kind for a while, of what was removed while somebody reads it
            found = [file for file in sorted(os.listdir(self.path)) if not file.startswith(".nfs")]
        return tuple(file for file in found if file not in ours and not names.is_reader(file))

    def remove_description(self) -> None:
        """Remove what is left of a volume that has no archive any more; ``volume.json`` goes last.

        The directory then counts as unused. Raises ArchiveError (UNWRITABLE).
        """
        remove_files(self.path, lambda file: names.name_before_bad(file) is not None)
        remove_files(self.path, lambda file: file == names.PROOF_FILE)
        remove_files(self.path, lambda file: file == names.VOLUME_FILE)

    def clean_temporaries(self) -> tuple[str, ...]:
        """Remove the temporaries of dead runs and finish removals that they began; return the files.

        Under the lock every temporary is a dead run's. Raises ArchiveError.
        """
        with os_errors("clean up", self.path, UNWRITABLE, "The next run tries again."):
            begun = [
                archive for archive in map(names.archive_of_removal, sorted(os.listdir(self.path))) if archive
            ]
            for archive in begun:
                self._finish_removal(archive)
        return (*remove_files(self.path, names.is_temporary), *begun)

    def _finish_removal(self, file: str) -> None:
        path = os.path.join(self.path, file)
        # with a manifest an archive of this name was published since: only the record is left to go
        if not os.path.lexists(names.manifest_name(path)):
            check_held(self.path)
            remove_if_there(path)
            sync_directory(self.path)
        check_held(self.path)
        remove_if_there(names.removal_name(path))
        sync_directory(self.path)
