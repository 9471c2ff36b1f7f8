# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore into an RBD image: a new one, or, where that was asked for, one that exists and nobody uses."""

from __future__ import annotations

import contextlib
import dataclasses
import secrets

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.choice import Choice
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.each_volume import describe
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.restore_content import (
    open_content,
    recorded_digest,
    unproved_joins,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.volume_directory import (
    is_key,
    metadata_at,
    perhaps_needed,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.rbd import RbdClient
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.digest import ImageDigest
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.reader import (
    DiffReader,
    check_header,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import (
    BackupError,
    CephError,
    HalfDone,
    InvalidInput,
    NotFound,
    StreamError,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageInfo, ImageSpec

INCOMPLETE = "rbd_backup_gfs/restore"
"""The key in the metadata of an image that a restore is overwriting, or had begun to overwrite."""
WAITING = "rbd_backup_gfs/objects-missing"
"""The key in the metadata of a new image that is complete and whose objects in Kubernetes are not there yet."""

FORMER = "rbd_backup_gfs/former/"
"""What the former key begins with in the metadata of an image that may need it in place of the later one."""


@dataclasses.dataclass(frozen=True)
class ImageTarget:
    """The image to restore into. ``metadata``: it gets that of the original. ``objects``: such of Kubernetes follow.

    ``data_pool`` is for a new image, None: its own pool; ``asked_data_pool`` is what the user insists on.
    """

    spec: ImageSpec
    data_pool: str | None
    asked_data_pool: str | None
    overwrite: bool
    metadata: bool
    objects: bool = False


def check_place(ceph: RbdClient, target: ImageTarget) -> None:
    """Refuse a pool, a data pool or a RADOS namespace that Ceph does not have. Raises CephError, InvalidInput."""
    pools = ceph.pool_ids()
    for pool in filter(None, (target.spec.pool, target.data_pool)):
        if pool not in pools:
            raise InvalidInput(f"Ceph has no pool {pool} to restore to. Nothing was touched.")
    namespace = target.spec.rados_namespace
    if namespace and namespace not in ceph.rados_namespaces(target.spec.pool):
        raise InvalidInput(
            f"Pool {target.spec.pool} has no RADOS namespace {namespace} to restore to. Nothing was touched. Create it "
            "('rbd namespace create') or choose another one."
        )


def existing_image(ceph: RbdClient, choice: Choice, target: ImageTarget) -> ImageInfo | None:
    """The image that will be overwritten, or that an earlier run of this restore has completed and that waits for its
    objects since; None where a new one will be made.

    Raises InvalidInput where it exists and must not be overwritten, CephError.
    """
    try:
        info = ceph.info(target.spec)
    except NotFound:
        return None
    if not target.overwrite and not _waited_for(ceph, choice, target):
        raise InvalidInput(
            f"The image {target.spec} exists, and a restore never writes into what somebody may use. Nothing was "
            "touched. Choose another name, remove that image first, or set overwrite: true to replace its content."
        )
    watchers = ceph.watchers(target.spec)
    if watchers:
        raise InvalidInput(
            f"The image {target.spec} is in use: it has {watchers} watcher(s). Nothing was touched. Scale down the "
            "workload that uses it; a client that was killed counts as a user for half a minute more. Then run again."
        )
    if target.asked_data_pool and target.asked_data_pool != info.data_pool:
        raise InvalidInput(
            f"The image {target.spec} exists and keeps its data in {info.data_pool or target.spec.pool}, which "
            f"overwriting cannot change to {target.asked_data_pool}. Nothing was touched. Leave out data_pool, or "
            "restore into a new image."
        )
    return info


def restore_image(ceph: RbdClient, choice: Choice, target: ImageTarget) -> str:
    """Restore, and return the image digest of what was restored. Raises BackupError, HalfDone where Ceph has changed.

    Whatever may fail in the middle, what is left is never to be taken for the restored image: a new image has a name
    that says so until everything is proved, one that is overwritten an entry in its metadata.
    """
    # again, and not from the plan: it may have been taken into use since
    existing = existing_image(ceph, choice, target)
    if existing is None:
        return _into_new(ceph, choice, target)
    if target.overwrite:
        return _into_existing(ceph, choice, target)
    digest = read_again(ceph, choice, target, existing)
    _set_metadata(ceph, choice, target.spec, target.metadata)  # other entries may be wanted by now
    return digest


def metadata_to_set(choice: Choice, everything: bool) -> dict[str, str]:
    """The metadata that the restored image gets: what decrypts it in any case, all of the original's where asked."""
    found = metadata_at(choice.directory.description, choice.time)
    chosen = {
        key: value
        for key, value in found.items()
        if is_key(key) or (everything and key not in (INCOMPLETE, WAITING) and not key.startswith(FORMER))
    }
    perhaps = perhaps_needed(choice.directory.description, choice.time)
    return {**chosen, **{FORMER + key: value for key, value in perhaps.items()}}


def _into_new(ceph: RbdClient, choice: Choice, target: ImageTarget) -> str:
    name = f"{target.spec.image}.unproved-restore-{secrets.token_hex(4)}"
    unproved = dataclasses.replace(target.spec, image=name)
    image = choice.directory.description["image"]
    try:
        ceph.create_image(
            unproved,
            choice.chain[-1].to.size,
            image["object_size"],
            image["features"],
            target.data_pool,
            image["stripe_unit"],
            image["stripe_count"],
        )
        digest = _fill(ceph, choice, unproved)
        _set_metadata(ceph, choice, unproved, target.metadata)
        if target.objects:
            ceph.set_metadata(unproved, WAITING, _complete(choice) + digest)
        _rename(ceph, unproved, target.spec)
    except BaseException as error:
        left = _remove(ceph, unproved)
        if left and isinstance(error, Exception):
            raise HalfDone(f"{describe(error)} {left}") from error
        raise
    return digest


def _complete(choice: Choice) -> str:
    """What the metadata of a complete image without its objects says, but the image digest.

    What was restored unproved is never taken for what has been proved since.
    """
    what = "unproved" if unproved_joins(choice) else "complete"
    return f"{what}: {choice.snapshot} of image id {choice.directory.identity.image_id}, digest "


def _waited_for(ceph: RbdClient, choice: Choice, target: ImageTarget) -> str | None:
    """The image digest of what an earlier run of this restore has put into the image, which waits for its objects."""
    metadata = ceph.metadata(target.spec) if target.objects else {}
    said = "" if INCOMPLETE in metadata else metadata.get(WAITING, "")
    return said[len(_complete(choice)) :] if said.startswith(_complete(choice)) else None


def read_again(ceph: RbdClient, choice: Choice, target: ImageTarget, info: ImageInfo) -> str:
    """Return the image digest of an image that waits for its objects, which must hold what it did then, and what is on
    record. Raises CephError, InvalidInput."""
    digest = ImageDigest(info.size)
    try:
        with ceph.export_diff(target.spec, None, None) as stream:
            reader = DiffReader(stream)
            check_header(reader.header, None, None, info.size)
            for record in reader:
                digest.update(record)
            stream.finish()
    except StreamError as error:
        raise CephError(f"Reading {target.spec} failed: {error.message} Nothing was touched.") from error
    found = digest.hexdigest()
    if found != _waited_for(ceph, choice, target) or recorded_digest(choice) not in (None, found):
        raise InvalidInput(
            f"The image {target.spec} was restored by an earlier run, and what it holds is not {choice.snapshot}: it "
            "has been changed since, or another image digest is on record by now. Nothing was touched. Remove it, "
            "choose another name, or set overwrite: true to replace its content."
        )
    return found


def _rename(ceph: RbdClient, unproved: ImageSpec, spec: ImageSpec) -> None:
    try:
        ceph.rename_image(unproved, spec.image)
    except CephError:
        # one that was ended because it took too long may have taken effect
        with contextlib.suppress(CephError):
            names = ceph.image_names(spec.pool, spec.rados_namespace)
            if spec.image in names and unproved.image not in names:
                return
        raise


def _remove(ceph: RbdClient, unproved: ImageSpec) -> str | None:
    """Remove an unfinished image, which may not be there; return what to tell where it may still be."""
    try:
        ceph.remove_image(unproved)
    except NotFound:
        pass
    except BackupError as error:
        return (
            f"The unfinished image {unproved} may still be there, for removing it failed too: {error.message} Look for "
            f"it, and remove it by hand ('rbd rm {unproved}'); nothing else uses it."
        )
    return None


def _into_existing(ceph: RbdClient, choice: Choice, target: ImageTarget) -> str:
    mark = _mark(ceph, target.spec, choice.snapshot)
    state = "its content may be gone in part"
    whole = f"it holds {choice.snapshot}, and proved, but maybe not all metadata"
    try:
        if WAITING in ceph.metadata(target.spec):
            ceph.remove_metadata(target.spec, WAITING)  # what it speaks of goes now
        ceph.empty_image(target.spec, choice.chain[-1].to.size)
        state = f"its content is gone, and it holds a part of {choice.snapshot} at most"
        _check_alone(ceph, target.spec, mark)
        digest = _fill(ceph, choice, target.spec)
        state = whole
        _set_metadata(ceph, choice, target.spec, target.metadata)
        state = f"{choice.snapshot} was brought into it, and maybe not that alone"
        _check_alone(ceph, target.spec, mark)
        state = whole
        ceph.remove_metadata(target.spec, INCOMPLETE)
    except Exception as error:
        raise HalfDone(
            f"{describe(error)} The image {target.spec} was being overwritten: {state}. Do not use it; its metadata "
            f"says that it is incomplete ({INCOMPLETE}). Run the restore again: a complete one removes the mark."
        ) from error
    return digest


def _mark(ceph: RbdClient, spec: ImageSpec, snapshot: str) -> str:
    """Say in the metadata of the image that this restore is at work on it. Returns the words, which no other has."""
    mark = f"incomplete: {snapshot}, restore {secrets.token_hex(4)}"
    try:
        ceph.set_metadata(spec, INCOMPLETE, mark)
    except CephError as error:
        error.message += f" The content of the image {spec} was left untouched."
        with contextlib.suppress(CephError):
            if INCOMPLETE in ceph.metadata(spec):
                raise HalfDone(
                    f"{error.message} Its metadata says all the same that it is incomplete ({INCOMPLETE}): a complete "
                    f"restore removes the mark, or 'rbd image-meta remove {spec} {INCOMPLETE}'."
                ) from error
        raise
    return mark


def _check_alone(ceph: RbdClient, spec: ImageSpec, mark: str) -> None:
    """Make sure that nobody else has written to the image meanwhile: no other restore, and nobody who began to use it
    while it was empty and might have made a file system on it. Raises BackupError."""
    found = ceph.metadata(spec).get(INCOMPLETE)
    if found != mark:
        raise BackupError(
            f"Another restore has begun to overwrite the image {spec} ({found or 'it has ended'})."
        )
    watchers = ceph.watchers(spec)
    if watchers:
        raise BackupError(
            f"The image {spec} was taken into use while it was overwritten: it has {watchers} watcher(s), which may "
            "have written to it. Scale down the workload that uses it, and keep it down."
        )


def _fill(ceph: RbdClient, choice: Choice, spec: ImageSpec) -> str:
    with open_content(choice) as content, ceph.import_diff(spec) as sink:
        content.write_stream(sink.write)
        sink.finish()
    return content.digest


def _set_metadata(ceph: RbdClient, choice: Choice, spec: ImageSpec, everything: bool) -> None:
    for key, value in sorted(metadata_to_set(choice, everything).items()):
        ceph.set_metadata(spec, key, value)
