# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How an archive that stood on a restore point that goes is made again: from Ceph, or from archives on disk. Pure."""

from __future__ import annotations

import dataclasses
import heapq
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import BackupError
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Archive, Snapshot, State
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.backup import (
    Export,
    HasParent,
    Holdings,
    ground_for_diff,
    ids_known,
    state_of,
)

REEXPORT, MERGE, AUTO = "reexport", "merge", "auto"
METHODS = (REEXPORT, MERGE, AUTO)

_NOW_ITS_BASE = "the restore point that stays before it is now its base"
_NO_BASE = "the oldest restore point that stays"
_ONLY_A_FULL = "a full is all that the archives on disk lead to"
_NO_SOLID_GROUND = "what stays before it has rebuilt manifests and was not compared with Ceph since"


class CannotConsolidate(BackupError):
    """A kept restore point needs an archive that cannot be made; nothing of the volume may be removed."""


@dataclasses.dataclass(frozen=True)
class Remake:
    """One archive to make. ``method`` is ``reexport`` (then ``export`` is how) or ``merge`` (of ``inputs``, in order).

    With ``merge`` ``export`` is what is done instead where an input proves bad, None where nothing can be. All bytes
    are estimates from above: ``stored_bytes`` is what the archive will take on disk.
    """

    to: State
    base: State | None
    method: str
    reason: str
    export: Export | None
    inputs: tuple[Archive, ...]
    stream_bytes: int
    stored_bytes: int

    @property
    def kind(self) -> str:
        """``full`` or ``diff``."""
        return "diff" if self.base else "full"

    @property
    def read_from_ceph(self) -> int:
        """About how many bytes are read from Ceph."""
        return self.stream_bytes if self.method == REEXPORT else 0

    @property
    def read_from_disk(self) -> int:
        """How many bytes of other archives are read."""
        return sum(archive.stored_bytes for archive in self.inputs) if self.method == MERGE else 0

    def replaces(self, archive: Archive) -> bool:
        """Whether it takes the place of *archive*, whose rebuilt manifest knows the same snapshots by their names."""
        names = [(one.base.snapshot if one.base else None, one.to.snapshot) for one in (self, archive)]
        return archive.rebuilt and names[0] == names[1]

    def to_dict(self) -> dict[str, t.Any]:
        """The archive as users see it in a plan."""
        return {
            "snapshot": self.to.snapshot,
            "base": self.base.snapshot if self.base else None,
            "kind": self.kind,
            "method": self.method,
            "reason": self.reason,
            "inputs": [archive.file for archive in self.inputs] if self.method == MERGE else [],
            "read_ceph_bytes": self.read_from_ceph,
            "read_disk_bytes": self.read_from_disk,
            "extra_bytes": self.stored_bytes,
        }


class Remaking:
    """Plans how archives of one volume are made again.

    *method* is what the user wants: ``reexport``, ``merge``, or ``auto``, which is ``merge`` with a re-export where an
    input proves bad. What cannot be done that way is done the other way. *compressed*: whether archives are.
    """

    def __init__(self, holdings: Holdings, has_parent: HasParent, method: str, compressed: bool) -> None:
        self._holdings = holdings
        self._snapshots = {state_of(snapshot): snapshot for snapshot in holdings.active}
        self._has_parent = has_parent
        self._method = method
        self._compressed = compressed

    def remake(self, to: State, before: State | None, passed_over: bool = False) -> Remake:
        """Plan the archive that leads to *to*, preferably from *before*, the restore point before it that stays.

        *passed_over*: there are later ones, of rebuilt manifests, on which nothing may stand. Raises CannotConsolidate
        when there is no way.
        """
        snapshot = self._snapshots.get(to)
        diff = self._path(before, to) if before else ()
        export = self._export(snapshot, before, passed_over) if snapshot else None
        # a full never takes the place of a diff that can be exported
        inputs = diff or (() if export and export.base else self._path(None, to))
        base_is_gone = before is not None and before not in self._snapshots
        if inputs and (self._method != REEXPORT or snapshot is None or (base_is_gone and diff)):
            return self._merge(to, before if diff else None, before, inputs, export)
        if export is None:
            raise CannotConsolidate(
                f"The archive of restore point {to.snapshot} stands on one that retention removes, its snapshot is "
                "gone from Ceph, and the archives on disk do not lead to it: one is missing or damaged, or its "
                "manifest was rebuilt. So it can neither be exported again nor merged. Nothing of this volume was "
                "changed: it keeps all its restore points. Run the backup first: it makes archives again whose "
                "snapshots are in Ceph.",
                snapshot=to.snapshot,
            )
        base = state_of(export.base) if export.base else None
        return Remake(
            to, base, REEXPORT, export.reason, export, (), *self._estimate(self._path(base, to), to)
        )

    def _merge(
        self,
        to: State,
        base: State | None,
        before: State | None,
        inputs: tuple[Archive, ...],
        export: Export | None,
    ) -> Remake:
        if export is None:
            why = "its snapshot is gone from Ceph"
        elif self._method == REEXPORT:
            why = "the snapshot of its base is gone from Ceph"
        else:
            why = "as asked for"
        standing = f"diff: {_NOW_ITS_BASE}" if base else f"full: {_ONLY_A_FULL if before else _NO_BASE}"
        return Remake(
            to,
            base,
            MERGE,
            f"{standing}; merged from archives on disk, {why}",
            None if self._method == MERGE else export,
            inputs,
            *self._estimate(inputs, to),
        )

    def _export(self, snapshot: Snapshot, before: State | None, passed_over: bool) -> Export:
        if before is None:
            return Export(snapshot, None, f"full: {_NO_SOLID_GROUND if passed_over else _NO_BASE}")
        base = self._snapshots.get(before)
        if base is None:
            return Export(
                snapshot,
                None,
                f"full: snapshot {before.snapshot}, the one before it that stays, is gone from Ceph",
            )
        objection = ground_for_diff(self._holdings, base, snapshot, self._has_parent)
        if objection:
            return Export(snapshot, None, f"full: {objection}")
        return Export(snapshot, base, f"diff: {_NOW_ITS_BASE}")

    def _path(self, base: State | None, to: State) -> tuple[Archive, ...]:
        """The archives that lead from *base* (None: from nothing) to *to*, oldest first, with the fewest stored bytes.

        Empty when there is no way. A manifest that was rebuilt lacks the ids of its snapshots, so nothing can be bound
        to them.
        """
        leading_to: dict[State, list[Archive]] = {}
        for archive in self._holdings.archives:
            if archive.image_id == self._holdings.image_id and ids_known(archive):
                leading_to.setdefault(archive.to, []).append(archive)
        waiting: list[tuple[int, tuple[str, ...], tuple[Archive, ...]]] = [(0, (), ())]
        seen: set[State] = set()
        while waiting:
            cost, files, path = heapq.heappop(waiting)
            at = path[0].base if path else to
            if at == base:
                return path
            if at is None or at in seen:
                continue
            seen.add(at)
            for archive in leading_to.get(at, ()):
                more = (archive.file, *files)
                heapq.heappush(waiting, (cost + archive.stored_bytes, more, (archive, *path)))
        return ()

    def _estimate(self, path: t.Sequence[Archive], to: State) -> tuple[int, int]:
        """Bytes of the stream and of the archive, at most about so many: what the archives on the way hold together."""
        if not path:
            return to.size, to.size
        stream = min(sum(archive.stream_bytes for archive in path), to.size)
        stored = min(sum(archive.stored_bytes for archive in path), to.size)
        return stream, stored if self._compressed else stream
