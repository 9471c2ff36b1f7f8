# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What verification and overview look at: the volumes that a backup set holds, and those that it should hold."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.each_volume import for_each_volume
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.environment import Environment
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.volumes import (
    prove_identity,
    volumes_from_options,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.scan import Scan
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.volume_directory import VolumeDirectory
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec, Volume

Result = t.TypeVar("Result")


@dataclasses.dataclass(frozen=True)
class Subject:
    """One volume. ``directory`` is None when the backup set has none of it.

    ``used``: whether it is among the volumes that were given; None where nobody knows.
    """

    volume: Volume
    directory: VolumeDirectory | None
    used: bool | None = None


@dataclasses.dataclass(frozen=True)
class Subjects:
    """All volumes by namespace and claim, what is wrong with directories in words, and the volumes that failed."""

    items: tuple[Subject, ...]
    problems: tuple[str, ...]
    failures: tuple[dict[str, t.Any], ...]
    complete: bool

    def chosen(self) -> tuple[Subject, ...]:
        """Those that were given; all where none were."""
        asked = any(item.used is not None for item in self.items) or not self.complete
        return tuple(item for item in self.items if item.used or not asked)


def find_subjects(environment: Environment, scan: Scan, complete: bool = True) -> Subjects:
    """Join the directories of *scan* with the option ``volumes``, which names all that are in use if *complete*.

    A volume whose identity nobody has proved is asked for in Ceph where access is given; without, its image's name
    must do, which is enough for looking. Raises InvalidInput.
    """
    problems = [problem.message for problem in scan.problems]
    given = environment.options["volumes"]
    if given is None:
        items = [Subject(_volume_of(directory), directory) for directory in scan.volumes]
        return Subjects(_sorted(items), tuple(problems), (), True)
    volumes, failures = _with_identities(environment, volumes_from_options(given))
    items = []
    found: set[str] = set()
    for volume in volumes:
        mine = [directory for directory in scan.volumes if _is_of(directory, volume)]
        found |= {directory.path for directory in mine}
        # one volume may have two directories, and each is looked at
        items += [Subject(dataclasses.replace(volume), directory, True) for directory in mine]
        if not mine:
            items.append(Subject(volume, None, True))
    failed = {item["image"] for item in failures}
    for directory in scan.volumes:
        if directory.path not in found:
            volume = _volume_of(directory)
            known = complete and str(volume.spec) not in failed
            items.append(Subject(volume, directory, False if known else None))
    return Subjects(_sorted(items), tuple(problems), tuple(failures), complete)


def _with_identities(
    environment: Environment, volumes: list[Volume]
) -> tuple[list[Volume], list[dict[str, t.Any]]]:
    unproved = [volume for volume in volumes if volume.identity is None]
    if not unproved or environment.options["ceph"] is None:
        return volumes, []
    ceph = environment.ceph()

    def prove(volume: Volume) -> Volume:
        identity, _info = prove_identity(volume, ceph)
        return dataclasses.replace(volume, identity=identity)

    proved, failures = for_each_volume(unproved, prove, environment.options["parallel"])
    return [volume for volume in volumes if volume.identity is not None] + proved, failures


def _is_of(directory: VolumeDirectory, volume: Volume) -> bool:
    if volume.identity is not None:
        return directory.identity == volume.identity
    return _volume_of(directory).spec == volume.spec


def _volume_of(directory: VolumeDirectory) -> Volume:
    """The volume as it was called at its last backup."""
    was = directory.description["volume"]
    spec = ImageSpec(was["pool"], was["rados_namespace"], was["image"])
    return Volume(was["namespace"], was["claim"], spec, directory.identity)


def _sorted(items: t.Iterable[Subject]) -> tuple[Subject, ...]:
    def key(item: Subject) -> tuple[str, str, str]:
        path = item.directory.path if item.directory else ""
        return (item.volume.namespace, item.volume.claim, path)

    return tuple(sorted(items, key=key))


def for_each_subject(
    items: t.Sequence[Subject], work: t.Callable[[Subject], Result], parallel: int
) -> tuple[list[Result], list[dict[str, t.Any]]]:
    """Call *work* on every one of *items*, as :func:`for_each_volume` does on volumes."""
    by_volume = {id(item.volume): item for item in items}
    return for_each_volume(
        [item.volume for item in items], lambda volume: work(by_volume[id(volume)]), parallel
    )
