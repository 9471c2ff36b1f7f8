# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which archives, in which order, lead to a restore point. Pure."""

from __future__ import annotations

import heapq
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Archive, State


def chain(
    archives: t.Iterable[Archive], snapshot: str, snapshot_id: int | None = None
) -> tuple[Archive, ...] | None:
    """Return the archives from a full to *snapshot*, oldest first; None when no chain to it is whole.

    Of several chains it is the one with the fewest joins by name alone (see :func:`joined_by_name`), of these the one
    with the fewest archives, then the one with the fewest stored bytes. Archives join where one leads to the state
    that the next stands on (see :func:`joins`), and all are of one image. Where there were several snapshots of that
    name it is the one that was taken last, or the one with *snapshot_id*.
    """
    everything = list({archive.file: archive for archive in archives}.values())
    if snapshot_id is None:
        ids = (archive.to.snapshot_id for archive in everything if archive.to.snapshot == snapshot)
        snapshot_id = max((number for number in ids if number is not None), default=None)
    images = {archive.image_id for archive in everything} - {None} or {None}
    found = [
        path
        for image in images
        for path in [_shortest([a for a in everything if a.image_id in (None, image)], snapshot, snapshot_id)]
        if path
    ]
    return min(found, key=_cost) if found else None


def joins(state: State, base: State) -> bool:
    """Whether an archive that stands on *base* may follow one that leads to *state*.

    A snapshot deleted and created again under the same name is a different one, where both ids are known.
    """
    return state.may_be(base)


def joined_by_name(path: t.Sequence[Archive]) -> tuple[str, ...]:
    """Return the snapshots of a chain at which nothing but name and size says that one archive belongs on the other.

    A rebuilt manifest knows no ids, and a snapshot that was made anew under its old name has both in common with the
    first one.
    """
    return tuple(
        after.base.snapshot
        for before, after in zip(path, path[1:])
        if after.base and None in (before.to.snapshot_id, after.base.snapshot_id)
    )


_Cost = tuple[int, int, int, tuple[str, ...]]


def _cost(path: tuple[Archive, ...]) -> _Cost:
    files = tuple(archive.file for archive in path)
    return len(joined_by_name(path)), len(path), sum(archive.stored_bytes for archive in path), files


def _shortest(archives: list[Archive], snapshot: str, snapshot_id: int | None) -> tuple[Archive, ...] | None:
    leading_to: dict[str, list[Archive]] = {}
    for archive in archives:
        leading_to.setdefault(archive.to.snapshot, []).append(archive)
    # from the restore point backwards, always going on from the cheapest path: the first full that comes up ends it
    waiting: list[tuple[_Cost, tuple[Archive, ...]]] = [
        (_cost((archive,)), (archive,))
        for archive in leading_to.get(snapshot, [])
        if snapshot_id is None or archive.to.snapshot_id in (None, snapshot_id)
    ]
    heapq.heapify(waiting)
    done: set[str] = set()
    while waiting:
        _cost_of_it, path = heapq.heappop(waiting)
        base = path[0].base
        if base is None:
            return path
        if path[0].file in done:
            continue
        done.add(path[0].file)
        for before in leading_to.get(base.snapshot, []):
            if joins(before.to, base) and before.file not in done:
                heapq.heappush(waiting, (_cost((before, *path)), (before, *path)))
    return None
