# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore one restore point into a new image."""

from __future__ import annotations

import contextlib
import datetime as dt
import secrets
import time
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.backup_set import set_path
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.choice import Choice, choose
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.environment import Environment, Outcome
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.backup_set import BackupSet
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.lock import VolumeLock
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.proof import load_proof, save_proof
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.readers import ReaderLock
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.verify import (
    open_stream,
    verify_archive,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.rbd import RbdClient
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.digest import ImageDigest
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.merge import merge
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.reader import DiffReader
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.records import Header
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.writer import DiffWriter
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import (
    ArchiveError,
    BackupError,
    CephError,
    InvalidInput,
    LockedError,
    NotFound,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec
from ansible_collections.rbd_backup.gfs.plugins.module_utils._names import format_utc


def run(environment: Environment) -> Outcome:
    """Carry out the module ``rbd_restore``. Raises BackupError."""
    options = environment.options
    backup_set = BackupSet.open(set_path(options))
    choice = choose(backup_set, options)
    if environment.check_mode:
        return _run(environment, choice)
    with ReaderLock(choice.directory.path) as lock:
        # what was chosen before the lock may have been removed by now
        outcome = _run(environment, choose(backup_set, options))
    if lock.warning:
        outcome.warnings.append(lock.warning)
    return outcome


def _run(environment: Environment, choice: Choice) -> Outcome:
    options = environment.options
    target = _target(choice, options["target"])
    ceph = environment.ceph()
    _refuse_existing(ceph, target)
    clock = time.monotonic()
    _prove(choice)
    recorded, digest = _recorded_digest(choice), None
    if not environment.check_mode:
        digest = _Restore(ceph, choice, target, options["target"]["data_pool"]).run()
        _remember(choice, digest, environment.now())
    return Outcome(
        changed=True,
        values={
            "volume": choice.directory.path,
            "restore_point": choice.snapshot,
            "time": format_utc(choice.time),
            "chain": [archive.file for archive in choice.chain],
            "image": str(target),
            "size": choice.chain[-1].to.size,
            "image_digest": digest,
            "image_digest_on_record": recorded,
            "seconds": round(time.monotonic() - clock, 3),
        },
        diff={"before": "", "after": f"{target}: {choice.snapshot} of {choice.directory}\n"},
    )


class _Restore:
    """Brings the chain into a new image.

    Until everything is proved the image has a name that says that it is not: so a restore that is killed leaves
    nothing that could be taken for the restored image.
    """

    def __init__(self, ceph: RbdClient, choice: Choice, target: ImageSpec, data_pool: str | None) -> None:
        self._ceph = ceph
        self._choice = choice
        self._target = target
        self._unproved = ImageSpec(
            target.pool, target.rados_namespace, f"{target.image}.unproved-restore-{secrets.token_hex(4)}"
        )
        self._data_pool = data_pool

    def run(self) -> str:
        """Restore, and return the image digest of what was restored."""
        image = self._choice.directory.description["image"]
        self._ceph.create_image(
            self._unproved,
            self._choice.chain[-1].to.size,
            image["object_size"],
            image["features"],
            self._data_pool,
            image["stripe_unit"],
            image["stripe_count"],
        )
        try:
            digest = self._fill()
            self._ceph.rename_image(self._unproved, self._target.image)
        except BaseException as error:
            self._clean_up(error)
            raise
        return digest

    def _fill(self) -> str:
        state = self._choice.chain[-1].to
        digest = ImageDigest(state.size)
        with contextlib.ExitStack() as stack:
            streams = [
                stack.enter_context(open_stream(self._choice.directory.path, archive))
                for archive in self._choice.chain
            ]
            merged = merge([DiffReader(stream) for stream in streams])
            sink = stack.enter_context(self._ceph.import_diff(self._unproved))
            writer = DiffWriter(sink.write)
            # without the name of a snapshot, or rbd would leave one of that name on the image
            writer.header(Header(None, None, state.size))
            for record in merged.records:
                digest.update(record)
                writer.record(record)
            writer.end()
            self._compare(digest.hexdigest())
            sink.finish()
        return digest.hexdigest()

    def _compare(self, found: str) -> None:
        recorded = _recorded_digest(self._choice)
        if recorded is not None and recorded != found:
            raise ArchiveError(
                f"The archives of {self._choice.directory} lead to an image with digest {found}, and on record for "
                f"{self._choice.snapshot} is {recorded}: they are not what was backed up. Nothing was restored."
            )

    def _clean_up(self, error: BaseException) -> None:
        try:
            self._ceph.remove_image(self._unproved)
        except BackupError as second:
            if isinstance(error, BackupError):
                error.message += (
                    f" The unfinished image {self._unproved} could not be removed ({second.message}): remove it by "
                    "hand."
                )


def _target(choice: Choice, options: t.Mapping[str, t.Any]) -> ImageSpec:
    """Where to restore to; the volume's own pool and RADOS namespace where none is given."""
    origin = choice.directory.description["volume"]
    target = ImageSpec(
        options["pool"] or origin["pool"],
        origin["rados_namespace"] if options["rados_namespace"] is None else options["rados_namespace"],
        options["image"],
    )
    if not target.image or any(sign in target.image for sign in "/@"):
        raise InvalidInput(f"{target.image!r} cannot be the name of an image. Nothing was touched.")
    return target


def _refuse_existing(ceph: RbdClient, target: ImageSpec) -> None:
    if target.pool not in ceph.pool_ids():
        raise CephError(f"Ceph has no pool {target.pool} to restore to. Nothing was touched.")
    try:
        ceph.info(target)
    except NotFound:
        return
    raise InvalidInput(
        f"The image {target} exists, and a restore never writes into what somebody may use. Nothing was touched. "
        "Choose another name, or remove that image first."
    )


def _prove(choice: Choice) -> None:
    """Read every archive of the chain from disk, to its last byte."""
    for archive in choice.chain:
        try:
            verify_archive(choice.directory.path, archive)
        except ArchiveError as error:
            error.message += " No image was created."
            raise


def _recorded_digest(choice: Choice) -> str | None:
    archive = choice.chain[-1]
    return archive.image_digest or load_proof(choice.directory.path).image_digest(archive.to)


def _remember(choice: Choice, digest: str, now: dt.datetime) -> None:
    """Put the image digest on record, for the next restore to be compared with, where that is possible now."""
    try:
        with VolumeLock(choice.directory.path):
            proof = load_proof(choice.directory.path)
            proof.record_replayed(choice.chain[-1].to, digest, now)
            save_proof(choice.directory.path, proof)
    except (ArchiveError, LockedError):
        pass  # a mount that is read-only, or a run that is at work there: the restore is good without it
