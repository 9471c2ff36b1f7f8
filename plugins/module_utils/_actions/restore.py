# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore restore points: of one volume or of all of a workload, into images or into raw files."""

from __future__ import annotations

import dataclasses
import datetime as dt
import time
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.backup_set import open_set_to_read
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.choice import (
    Choice,
    check_same_point,
    choose_directories,
    choose_point,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.each_volume import (
    check_parallel,
    failure,
    for_each_volume,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.environment import Environment, Outcome
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.new_file import check_new_file
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.restore_content import (
    prove,
    recorded_digest,
    refuse_unproved,
    unproved_joins,
    warnings_of,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.restore_image import (
    FORMER,
    WAITING,
    ImageTarget,
    check_place,
    existing_image,
    metadata_to_set,
    read_again,
    restore_image,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.restore_manifests import (
    apply_manifests,
    check_file,
    check_manifests,
    is_applied,
    manifests_for,
    what,
    write_manifests,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.restore_names import fill_in
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.restore_raw import restore_raw
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.backup_set import BackupSet
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.lock import VolumeLock
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.proof import load_proof, save_proof
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.readers import ReaderLock
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.volume_directory import (
    VolumeDirectory,
    perhaps_needed,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import (
    ArchiveError,
    BackupError,
    CephError,
    HalfDone,
    InvalidInput,
    KubernetesError,
    LockedError,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.static_volume import (
    Object,
    has_key,
    is_encrypted,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import (
    Identity,
    ImageInfo,
    ImageSpec,
    Volume,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._names import format_utc


@dataclasses.dataclass(frozen=True)
class _Job:
    """One restore point and where it goes: either into an image or into a file."""

    choice: Choice
    image: ImageTarget | None
    raw: str | None
    manifests: tuple[Object, ...]

    def __str__(self) -> str:
        return str(self.image.spec) if self.image else str(self.raw)


def run(environment: Environment) -> Outcome:
    """Carry out the module ``rbd_restore``. Raises BackupError."""
    options = environment.options
    parallel = check_parallel(options)
    if options["manifests"] and options["target"]["raw"]:
        raise InvalidInput("manifests are for a restored image, not for a raw file. Nothing was touched.")
    backup_set = open_set_to_read(options)
    choices, failures = _choices(backup_set, options)
    jobs = [_job(choice, options) for choice in choices]
    _check_all(environment, jobs)
    job_of: dict[Identity | None, _Job] = {job.choice.directory.identity: job for job in jobs}

    told: list[str] = []
    half_done: list[Volume] = []

    def work(volume: Volume) -> dict[str, t.Any]:
        restore = _Restore(environment, job_of[volume.identity], backup_set.prefix)
        try:
            return restore.run()
        except HalfDone:
            half_done.append(volume)
            raise
        finally:
            told.extend(restore.warnings)

    results, more = for_each_volume([_volume(job.choice.directory) for job in jobs], work, parallel)
    fatal = None
    if not environment.check_mode:
        try:
            write_manifests(
                options["manifests"], [item for result in results for item in result["manifests"]]
            )
        except BackupError as error:
            fatal = error.message
    restored = {result["directory"] for result in results}
    done = [job for job in jobs if job.choice.directory.path in restored]
    return Outcome(
        changed=bool(results or half_done),
        values={"volumes": results},
        failures=failures + more,
        warnings=[text for job in done for text in _warnings(job)] + sorted(told),
        diff={
            "before": "",
            "after": "".join(f"{job}: {job.choice.snapshot} of {job.choice.directory}\n" for job in done),
        },
        fatal=fatal,
    )


class _Restore:
    """Restores one volume. ``warnings`` tell where that was done without protection or without a comparison."""

    def __init__(self, environment: Environment, job: _Job, prefix: str) -> None:
        self._environment = environment
        self._manifests = environment.options["manifests"]
        self._job = job
        self._prefix = prefix
        self.warnings: list[str] = []

    def run(self) -> dict[str, t.Any]:
        """Check, prove and restore; return the result. Raises BackupError."""
        if self._environment.check_mode:
            return self._run()
        choice = self._job.choice
        with ReaderLock(choice.directory.path) as lock:
            if lock.warning:
                self.warnings.append(lock.warning)
            # the way to that restore point may be another one by now
            choice = choose_point(choice.directory, self._prefix, choice.snapshot)
            self._job = dataclasses.replace(self._job, choice=choice)
            return self._run()

    def _run(self) -> dict[str, t.Any]:
        job, choice = self._job, self._job.choice
        clock = time.monotonic()
        if not self._environment.options["accept_unproved"]:
            refuse_unproved(choice, "accept_unproved: true (role: rbd_restore_accept_unproved)")
        existing = self._check()
        resumed = bool(existing and job.image and not job.image.overwrite)
        if not resumed:
            prove(choice)
        elif self._environment.check_mode and existing and job.image:
            read_again(self._environment.ceph(), choice, job.image, existing)
        self.warnings += warnings_of(choice)
        unproved = unproved_joins(choice)
        recorded, digest, noted = recorded_digest(choice), None, False
        if not self._environment.check_mode:
            digest = self._restore()
            if not unproved and not resumed:  # then nothing was read of the chain
                noted = _remember(choice, digest, self._environment.now()) and recorded is None
            self._apply()
        origin = choice.directory.description["volume"]
        return {
            "directory": choice.directory.path,
            "namespace": origin["namespace"],
            "claim": origin["claim"],
            "image_id": choice.directory.identity.image_id,
            "restore_point": choice.snapshot,
            "time": format_utc(choice.time),
            "chain": [archive.file for archive in choice.chain],
            "image": str(job.image.spec) if job.image else None,
            "raw": job.raw,
            "overwritten": existing is not None and not resumed,
            "resumed": resumed,
            "size": choice.chain[-1].to.size,
            "image_digest": digest,
            "image_digest_on_record": recorded,
            "image_digest_recorded": noted,
            "unproved_joins": list(unproved),
            "metadata": sorted(metadata_to_set(choice, job.image.metadata)) if job.image else [],
            "manifests": list(job.manifests),
            "seconds": round(time.monotonic() - clock, 3),
        }

    def _check(self) -> ImageInfo | None:
        """Refuse a target that cannot be used; return the image that is there: it will be overwritten, or has waited
        for its objects since an earlier run."""
        if is_applied(self._manifests):
            try:
                check_manifests(self._environment, self._job.manifests)
            except KubernetesError as error:
                error.message += " Nothing was touched."
                raise
        if self._job.image:
            return existing_image(self._environment.ceph(), self._job.choice, self._job.image)
        check_new_file(str(self._job.raw))
        return None

    def _apply(self) -> None:
        if not self._job.image or not is_applied(self._manifests):
            return
        apply_manifests(self._environment, self._job.manifests)
        if not self._job.image.overwrite:
            try:
                self._environment.ceph().remove_metadata(self._job.image.spec, WAITING)
            except CephError as error:
                self.warnings.append(
                    f"{error.message} The restore is complete; the entry {WAITING} in the metadata of the image "
                    f"{self._job.image.spec} means nothing any more, and can be removed by hand."
                )

    def _restore(self) -> str:
        if self._job.image:
            return restore_image(self._environment.ceph(), self._job.choice, self._job.image)
        return restore_raw(self._job.choice, str(self._job.raw))


def _choices(
    backup_set: BackupSet, options: t.Mapping[str, t.Any]
) -> tuple[list[Choice], list[dict[str, t.Any]]]:
    choices, failures = [], []
    directories = choose_directories(backup_set, options)
    for directory in directories:
        try:
            choices.append(choose_point(directory, backup_set.prefix, options["restore_point"]))
        except BackupError as error:
            if len(directories) == 1:
                raise
            failures.append(failure(_volume(directory), error))
    check_same_point(choices, backup_set.prefix)
    return choices, failures


def _volume(directory: VolumeDirectory) -> Volume:
    origin = directory.description["volume"]
    spec = ImageSpec(origin["pool"], origin["rados_namespace"], origin["image"])
    return Volume(origin["namespace"], origin["claim"], spec, directory.identity)


def _job(choice: Choice, options: t.Mapping[str, t.Any]) -> _Job:
    target = options["target"]
    if target["raw"]:
        return _Job(choice, None, fill_in(target["raw"], choice), ())
    image = _image_target(choice, target, is_applied(options["manifests"]))
    return _Job(choice, image, None, manifests_for(choice, image.spec, options["manifests"]))


def _image_target(choice: Choice, target: t.Mapping[str, t.Any], objects: bool) -> ImageTarget:
    """Where to restore to; the volume's own pool, data pool and RADOS namespace where none is given."""
    description = choice.directory.description
    origin = description["volume"]
    pool = target["pool"] or origin["pool"]
    spec = ImageSpec(
        pool,
        origin["rados_namespace"] if target["rados_namespace"] is None else target["rados_namespace"],
        fill_in(target["image"], choice),
    )
    if not spec.image or any(sign in spec.image for sign in "/@"):
        raise InvalidInput(f"{spec.image!r} cannot be the name of an image. Nothing was touched.")
    data_pool = target["data_pool"]
    if data_pool is None and pool == origin["pool"]:
        data_pool = description["image"].get("data_pool")
    return ImageTarget(
        spec, data_pool or None, target["data_pool"], target["overwrite"], target["metadata"], objects
    )


def _check_all(environment: Environment, jobs: t.Sequence[_Job]) -> None:
    """Refuse what is wrong for all, before anything is touched."""
    names = [str(job) for job in jobs]
    names += [what(item) for job in jobs for item in job.manifests]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidInput(
            f"More than one volume would become {', '.join(twice)}. Nothing was touched. Put a placeholder such as "
            "{claim} or {image_id} into that name."
        )
    check_file(environment.options["manifests"])
    images = [job.image for job in jobs if job.image]
    places = {(image.spec.pool, image.spec.rados_namespace, image.data_pool): image for image in images}
    for image in places.values():
        check_place(environment.ceph(), image)


def _warnings(job: _Job) -> list[str]:
    description = job.choice.directory.description
    if not is_encrypted(description):
        return []
    told = f"{job.choice.directory} is encrypted: what was restored is ciphertext."
    if not has_key(description):
        told += (
            " Its key is not in the image's metadata but in the KMS of ceph-csi, under the original volume handle; "
            "it can be read only while the KMS still has it."
        )
    elif job.raw:
        told += (
            " Its key, as wrapped by the KMS, is in volume.json under image.metadata; for a restore point from before "
            "it was changed, under image.former_keys."
        )
    if perhaps_needed(description, job.choice.time):
        told += (
            f" Its key was changed about when {job.choice.snapshot} was taken, and it is not known whether before or "
            "after. It gets the later one. Where that does not open it, it is the former one, "
            + ("under image.former_keys." if job.raw else f"under {FORMER} in the image's metadata.")
        )
    return [told]


def _remember(choice: Choice, digest: str, now: dt.datetime) -> bool:
    """Put the image digest on record, for the next restore to be compared with; return whether that was possible."""
    try:
        with VolumeLock(choice.directory.path):
            choice.directory.check_still_there()  # where nothing kept it from being removed meanwhile
            proof = load_proof(choice.directory.path)
            proof.record_replayed(choice.chain[-1].to, digest, now)
            save_proof(choice.directory.path, proof)
    except (ArchiveError, LockedError):
        return (
            False  # a mount that is read-only, or a run that is at work there: the restore is good without it
        )
    return True
