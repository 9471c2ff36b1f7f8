# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest: the JSON beside an archive that says what it is and how to prove it, and its commit record.

It binds to states of the image (snapshot name, snapshot id, image id, size), not to the files of its
neighbours, so that making one archive again leaves the other manifests as they are.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.fields import Fields
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.names import SUFFIXES, archive_name
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import InvalidInput
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Archive, Identity, ImageSpec, State
from ansible_collections.rbd_backup.gfs.plugins.module_utils._names import format_utc

FORMAT = 1


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where an archive comes from: image and states, why and when it was made, and by which versions.

    ``reason`` tells why it was made, and for a full why it is not a diff. ``image_digest`` belongs to a full.
    ``started`` and ``finished`` are UTC.
    """

    identity: Identity
    spec: ImageSpec
    to: State
    base: State | None
    reason: str
    started: dt.datetime
    finished: dt.datetime
    tool_version: str
    ceph_version: str
    image_digest: str | None = None


@dataclasses.dataclass(frozen=True)
class Manifest:
    """All that is recorded of one archive. Byte counts and SHA-256 of the raw stream and of the file as stored."""

    file: str
    compression: str
    origin: Origin
    stream_bytes: int
    stream_sha256: str
    stored_bytes: int
    stored_sha256: str
    rebuilt: bool = False

    def archive(self) -> Archive:
        """The archive as the other rooms know it."""
        return Archive(
            file=self.file,
            to=self.origin.to,
            base=self.origin.base,
            image_id=self.origin.identity.image_id,
            stored_bytes=self.stored_bytes,
            stored_sha256=self.stored_sha256,
            stream_bytes=self.stream_bytes,
            stream_sha256=self.stream_sha256,
            image_digest=self.origin.image_digest,
            rebuilt=self.rebuilt,
        )

    def to_json(self) -> dict[str, t.Any]:
        """The content of the file; :meth:`from_json` reads it."""
        origin = self.origin
        return {
            "format": FORMAT,
            "file": self.file,
            "kind": "diff" if origin.base else "full",
            "identity": identity_to_json(origin.identity),
            "pool": origin.spec.pool,
            "image": origin.spec.image,
            "to": _state_to_json(origin.to),
            "base": _state_to_json(origin.base) if origin.base else None,
            "compression": self.compression,
            "stored_bytes": self.stored_bytes,
            "stored_sha256": self.stored_sha256,
            "stream_bytes": self.stream_bytes,
            "stream_sha256": self.stream_sha256,
            "image_digest": origin.image_digest,
            "reason": origin.reason,
            "started": format_utc(origin.started),
            "finished": format_utc(origin.finished),
            "tool_version": origin.tool_version,
            "ceph_version": origin.ceph_version,
            "rebuilt": self.rebuilt,
        }

    @classmethod
    def from_json(cls, content: t.Any, path: str) -> Manifest:
        """Read the content of the manifest *path*. Raises ArchiveError when it cannot be trusted."""
        fields = Fields(content, path)
        fields.check_format(FORMAT)
        rebuilt = fields.flag("rebuilt")
        base = fields.part_or_none("base")
        identity = identity_from_json(fields.part("identity"))
        manifest = cls(
            file=fields.text("file"),
            compression=fields.text("compression"),
            origin=Origin(
                identity=identity,
                spec=ImageSpec(fields.text("pool"), identity.rados_namespace, fields.text("image")),
                to=_state_from_json(fields.part("to"), rebuilt),
                base=_state_from_json(base, rebuilt) if base else None,
                reason=fields.text("reason", empty=True),
                started=fields.time("started"),
                finished=fields.time("finished"),
                tool_version=fields.text("tool_version", empty=True),
                ceph_version=fields.text("ceph_version", empty=True),
                image_digest=fields.sha256_or_none("image_digest"),
            ),
            stream_bytes=fields.number("stream_bytes"),
            stream_sha256=fields.sha256("stream_sha256"),
            stored_bytes=fields.number("stored_bytes"),
            stored_sha256=fields.sha256("stored_sha256"),
            rebuilt=rebuilt,
        )
        if fields.text("kind") != ("diff" if base else "full"):
            raise fields.error("kind", "what base says")
        if manifest.compression not in SUFFIXES:
            raise fields.error("compression", f"one of {', '.join(SUFFIXES)}")
        if manifest.file != manifest.proper_name():
            raise fields.error("file", "the name that follows from to, base and compression")
        return manifest

    def proper_name(self) -> str | None:
        """The file name that follows from the states and the compression; None when no archive can be of them."""
        base = self.origin.base
        try:
            return archive_name(self.origin.to.snapshot, base.snapshot if base else None, self.compression)
        except InvalidInput:
            return None


def identity_to_json(identity: Identity) -> dict[str, t.Any]:
    """Write an identity; :func:`identity_from_json` reads it."""
    return dataclasses.asdict(identity)


def identity_from_json(fields: Fields) -> Identity:
    """Read an identity. Raises ArchiveError."""
    return Identity(
        fsid=fields.text("fsid"),
        pool_id=fields.number("pool_id"),
        rados_namespace=fields.text("rados_namespace", empty=True),
        image_id=fields.text("image_id"),
    )


def _state_to_json(state: State) -> dict[str, t.Any]:
    return {"snapshot": state.snapshot, "id": state.snapshot_id, "size": state.size}


def _state_from_json(fields: Fields, rebuilt: bool) -> State:
    # only a manifest that was rebuilt from its archive may lack the ids: a stream does not hold them
    number = fields.number_or_none("id") if rebuilt else fields.number("id")
    return State(fields.text("snapshot"), number, fields.number("size"))
