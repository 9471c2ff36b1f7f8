# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The restore points of which a volume's directory bears a trace, their chains, and why a chain is not whole. Pure."""

from __future__ import annotations

import dataclasses
import datetime as dt
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.chain import chain, joins
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.inventory import Inventory
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.names import parse_archive_name
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.problems import (
    MANIFEST,
    MISSING,
    Problem,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Archive, State
from ansible_collections.rbd_backup.gfs.plugins.module_utils._names import snapshot_time


@dataclasses.dataclass(frozen=True)
class Point:
    """A snapshot that an archive leads to, its UTC time, and its chain, oldest first; None when it is not whole."""

    snapshot: str
    time: dt.datetime
    chain: tuple[Archive, ...] | None


def known_points(inventory: Inventory, prefix: str) -> tuple[Point, ...]:
    """Return every restore point that there is or was, in ascending time."""
    names = (parse_archive_name(prefix, file) for file in _files(inventory))
    times = {name.to: snapshot_time(prefix, name.to) for name in names if name}
    found = [Point(to, time, chain(inventory.archives, to)) for to, time in times.items() if time is not None]
    return tuple(sorted(found, key=lambda point: (point.time, point.snapshot)))


def why_lost(inventory: Inventory, snapshot: str, prefix: str) -> tuple[Problem, ...]:
    """Return what keeps the chain to *snapshot* from being whole, going back from it to where nothing leads on."""
    recorded = {archive.file: archive for archive in inventory.archives}
    defects = {problem.file: problem for problem in inventory.problems}
    leading: dict[str, list[tuple[str, str | None]]] = {}
    for file in _files(inventory):
        name = parse_archive_name(prefix, file)
        if name:
            leading.setdefault(name.to, []).append((file, name.base))
    found: dict[str, Problem] = {}
    seen: set[str] = set()
    waiting = [snapshot]
    while waiting:
        to = waiting.pop()
        seen.add(to)
        for file, base in leading[to]:
            if file in defects:
                found[file] = defects[file]
            elif file not in recorded:
                found[file] = Problem(file, f"Archive {file} has no manifest and does not count.", MANIFEST)
            if base is None:
                continue
            if base not in leading:
                found.setdefault(
                    file,
                    Problem(file, f"Archive {file} stands on {base}, and no archive leads there.", MISSING),
                )
                continue
            if file in recorded:
                before = [recorded[other] for other, _base in leading[base] if other in recorded]
                gap = _gap(recorded[file], before)
                if gap:
                    found.setdefault(file, gap)
            if base not in seen:
                waiting.append(base)
    return tuple(found.values())


def _files(inventory: Inventory) -> list[str]:
    problems = [problem.file for problem in inventory.problems]
    recorded = [archive.file for archive in inventory.archives]
    return list(dict.fromkeys([*recorded, *problems, *inventory.unpublished]))


def _gap(archive: Archive, before: t.Sequence[Archive]) -> Problem | None:
    """What is wrong where archives lead to the snapshot that *archive* stands on, and none to that state of it."""
    base = archive.base
    if base is None or not before or any(joins(other.to, base) for other in before):
        return None
    others = "; ".join(f"{other.file} leads to {_state(other.to)}" for other in before)
    return Problem(
        archive.file,
        f"Archive {archive.file} stands on {base.snapshot} with {_state(base)}, and {others}: they do not join.",
        MISSING,
    )


def _state(state: State) -> str:
    number = "unknown id" if state.snapshot_id is None else f"id {state.snapshot_id}"
    return f"{number} and {state.size} bytes"
