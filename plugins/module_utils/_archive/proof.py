# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""proof.json: what was proved of a volume's archives and when, and which snapshots are retired or pinned.

Written under the lock of the volume. A missing file is an empty record; one that cannot be read or trusted
stops the work on the volume, because a retired snapshot must never be exported again.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.fields import Fields
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.files import (
    atomic_write_json,
    os_errors,
    read_json,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.inventory import Inventory
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.names import PROOF_FILE
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.problems import (
    UNREADABLE,
    unless_missing,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Archive, State
from ansible_collections.rbd_backup.gfs.plugins.module_utils._names import format_utc

FORMAT = 1


@dataclasses.dataclass(frozen=True)
class Hashed:
    """All stored bytes of an archive were read at ``at`` (UTC) and had this SHA-256."""

    stored_sha256: str
    at: dt.datetime


@dataclasses.dataclass(frozen=True)
class Replayed:
    """The chain to a restore point was read through at ``at`` (UTC) and gave this image digest."""

    snapshot_id: int | None
    image_digest: str
    at: dt.datetime


@dataclasses.dataclass(frozen=True)
class Compared:
    """At ``at`` (UTC) the chain to a restore point gave the image digest of the live snapshot of this id.

    ``archive`` and ``base`` are the SHA-256 of the last file of that chain and of the one before it, where there was
    one and it is on record: another archive that leads to a snapshot of that name was not compared.
    """

    snapshot_id: int
    at: dt.datetime
    archive: str | None = None
    base: str | None = None


@dataclasses.dataclass(frozen=True)
class Retired:
    """A snapshot whose archive retention has removed, still waiting to be deleted in Ceph since ``since`` (UTC)."""

    snapshot: str
    snapshot_id: int
    since: dt.datetime


@dataclasses.dataclass(frozen=True)
class Pin:
    """A restore point that the user protects since ``since`` (UTC), and why."""

    snapshot: str
    reason: str
    since: dt.datetime


@dataclasses.dataclass
class Proof:
    """The content of proof.json. ``hashed`` is by archive file, the others but ``retired`` by snapshot name."""

    hashed: dict[str, Hashed] = dataclasses.field(default_factory=dict)
    replayed: dict[str, Replayed] = dataclasses.field(default_factory=dict)
    compared: dict[str, Compared] = dataclasses.field(default_factory=dict)
    retired: dict[int, Retired] = dataclasses.field(default_factory=dict)
    pins: dict[str, Pin] = dataclasses.field(default_factory=dict)

    def record_hashed(self, archive: Archive, at: dt.datetime) -> None:
        """Note that all stored bytes of *archive* were read and found right."""
        self.hashed[archive.file] = Hashed(archive.stored_sha256, at)

    def forget_hashed(self, file: str) -> None:
        """Drop what was proved of an archive that was found damaged since."""
        self.hashed.pop(file, None)

    def hashed_at(self, archive: Archive) -> dt.datetime | None:
        """When this very archive was last hashed (not another one that had the same name); None: never."""
        entry = self.hashed.get(archive.file)
        return entry.at if entry and entry.stored_sha256 == archive.stored_sha256 else None

    def record_replayed(self, state: State, image_digest: str, at: dt.datetime) -> None:
        """Note the image digest that the chain to *state* gave. An id that is on record with that digest stays."""
        entry = self._replayed(state)
        known = entry.snapshot_id if entry and entry.image_digest == image_digest else None
        self.replayed[state.snapshot] = Replayed(state.snapshot_id or known, image_digest, at)

    def image_digest(self, state: State) -> str | None:
        """The image digest that a chain to *state* has given before; None: never replayed, or another snapshot, or one
        that was known by its name alone."""
        entry = self._replayed(state)
        return entry.image_digest if entry and entry.snapshot_id is not None else None

    def replayed_at(self, state: State) -> dt.datetime | None:
        """When a chain to *state* was last read through; None: never."""
        entry = self._replayed(state)
        return entry.at if entry else None

    def _replayed(self, state: State) -> Replayed | None:
        """What is on record of *state*; where its manifest lost the id, what was recorded while that was known."""
        entry = self.replayed.get(state.snapshot)
        return entry if entry and state.snapshot_id in (None, entry.snapshot_id) else None

    def record_compared(self, chain: t.Sequence[Archive], snapshot_id: int, at: dt.datetime) -> None:
        """Note that the *chain* to a restore point gave what the live snapshot holds."""
        base = chain[-2].stored_sha256 if len(chain) > 1 else None
        self.compared[chain[-1].to.snapshot] = Compared(snapshot_id, at, chain[-1].stored_sha256, base)

    def compared_at(self, state: State) -> dt.datetime | None:
        """When *state* was last found equal to its live snapshot; None: never."""
        entry = self.compared.get(state.snapshot)
        return entry.at if entry and state.snapshot_id in (None, entry.snapshot_id) else None

    def forget_compared(self, snapshot: str) -> None:
        """Drop what was found of a restore point whose archive is known by less than before."""
        self.compared.pop(snapshot, None)

    def identify(self, inventory: Inventory) -> Inventory:
        """Return *inventory* with the snapshot ids that rebuilt manifests lost and a comparison with Ceph told."""
        ids = {archive.stored_sha256: archive.to.snapshot_id for archive in inventory.archives}
        ids.update({entry.archive: entry.snapshot_id for entry in self.compared.values() if entry.archive})
        return dataclasses.replace(
            inventory, archives=tuple(self._identify(archive, ids) for archive in inventory.archives)
        )

    def _identify(self, archive: Archive, ids: t.Mapping[str, int | None]) -> Archive:
        entry, base = self.compared.get(archive.to.snapshot), archive.base
        # of that name there may have been another snapshot, and its archive may lie beside the one that was compared
        if entry is None or archive.to.snapshot_id is not None or entry.archive != archive.stored_sha256:
            return archive
        if base and base.snapshot_id is None and entry.base:
            base = dataclasses.replace(base, snapshot_id=ids.get(entry.base))
        return dataclasses.replace(
            archive, to=dataclasses.replace(archive.to, snapshot_id=entry.snapshot_id), base=base
        )

    def retire(self, snapshot: str, snapshot_id: int, since: dt.datetime) -> None:
        """Note that a snapshot waits to be deleted in Ceph; one that waits already keeps its date."""
        self.retired.setdefault(snapshot_id, Retired(snapshot, snapshot_id, since))

    def forget_retired(self, snapshot_ids: t.Iterable[int]) -> None:
        """Drop retired snapshots: they were seen gone from Ceph, or are to stay after all."""
        for number in snapshot_ids:
            self.retired.pop(number, None)

    def forget_missing(self, archives: t.Iterable[Archive]) -> None:
        """Drop what was proved of archives and restore points that are no longer there."""
        present = list(archives)
        files, snapshots = {archive.file for archive in present}, {archive.to.snapshot for archive in present}
        self.hashed = {file: entry for file, entry in self.hashed.items() if file in files}
        self.replayed = {name: entry for name, entry in self.replayed.items() if name in snapshots}
        self.compared = {name: entry for name, entry in self.compared.items() if name in snapshots}

    def to_json(self) -> dict[str, t.Any]:
        """The content of the file."""
        return {
            "format": FORMAT,
            "hashed": {
                file: {"stored_sha256": entry.stored_sha256, "at": format_utc(entry.at)}
                for file, entry in sorted(self.hashed.items())
            },
            "image_digests": {
                name: {"id": entry.snapshot_id, "digest": entry.image_digest, "at": format_utc(entry.at)}
                for name, entry in sorted(self.replayed.items())
            },
            "compared": {
                name: {
                    "id": entry.snapshot_id,
                    "at": format_utc(entry.at),
                    "archive": entry.archive,
                    "base": entry.base,
                }
                for name, entry in sorted(self.compared.items())
            },
            "retired": [
                {"snapshot": entry.snapshot, "id": number, "since": format_utc(entry.since)}
                for number, entry in sorted(self.retired.items())
            ],
            "pins": [
                {"snapshot": name, "reason": pin.reason, "since": format_utc(pin.since)}
                for name, pin in sorted(self.pins.items())
            ],
        }

    @classmethod
    def from_json(cls, content: t.Any, path: str) -> Proof:
        """Read the content of the file *path*. Raises ArchiveError."""
        fields = Fields(content, path)
        fields.check_format(FORMAT)
        hashed, replayed = fields.part("hashed"), fields.part("image_digests")
        compared = fields.part("compared") if "compared" in fields else Fields({}, path)
        entries = {file: hashed.part(file) for file in hashed}
        digests = {name: replayed.part(name) for name in replayed}
        retired = [
            Retired(item.text("snapshot"), item.number("id"), item.time("since"))
            for item in fields.parts("retired")
        ]
        pins = [
            Pin(item.text("snapshot"), item.text("reason", empty=True), item.time("since"))
            for item in fields.parts("pins")
        ]
        return cls(
            hashed={
                file: Hashed(item.sha256("stored_sha256"), item.time("at")) for file, item in entries.items()
            },
            replayed={
                name: Replayed(item.number_or_none("id"), item.sha256("digest"), item.time("at"))
                for name, item in digests.items()
            },
            compared={
                name: Compared(
                    item.number("id"),
                    item.time("at"),
                    *(item.sha256_or_none(key) if key in item else None for key in ("archive", "base")),
                )
                for name, item in {name: compared.part(name) for name in compared}.items()
            },
            retired={entry.snapshot_id: entry for entry in retired},
            pins={pin.snapshot: pin for pin in pins},
        )


def load_proof(directory: str) -> Proof:
    """Read the proofs of the volume's *directory*; an absent file is an empty one. Raises ArchiveError."""
    path = os.path.join(directory, PROOF_FILE)
    content = unless_missing(lambda: read_json(path))
    if content is None:
        with os_errors("read", directory, UNREADABLE, "Nothing was changed."):
            os.stat(directory)  # a directory that vanished is not a volume without proofs
        return Proof()
    return Proof.from_json(content, path)


def save_proof(directory: str, proof: Proof) -> bool:
    """Write *proof* where it differs from what is there, and return whether it did. Raises ArchiveError."""
    if load_proof(directory).to_json() == proof.to_json():
        return False
    path = os.path.join(directory, PROOF_FILE)
    atomic_write_json(path, proof.to_json(), "The proofs recorded before were left untouched.")
    return True
