# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The things that the rooms of the collection speak about. Pure data."""

from __future__ import annotations

import dataclasses
import typing as t


@dataclasses.dataclass(frozen=True)
class ImageSpec:
    """Where an RBD image is: pool, RADOS namespace (empty for the default one) and image name."""

    pool: str
    rados_namespace: str
    image: str

    def __str__(self) -> str:
        return "/".join(part for part in (self.pool, self.rados_namespace, self.image) if part)


@dataclasses.dataclass(frozen=True)
class Identity:
    """What makes an image that image, whatever it is called: Ceph fsid, pool id, RADOS namespace, image id."""

    fsid: str
    pool_id: int
    rados_namespace: str
    image_id: str


@dataclasses.dataclass(frozen=True)
class Volume:
    """The RBD image behind a claim, as resolution found it. ``identity`` is None until Ceph has proved it.

    ``users`` are the workloads that use the claim, as ``deployment/web``; None where nobody has looked.
    """

    namespace: str
    claim: str
    spec: ImageSpec
    identity: Identity | None = None
    manifests: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    users: tuple[str, ...] | None = None

    def __str__(self) -> str:
        return f"{self.namespace}/{self.claim} ({self.spec})"


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """An RBD snapshot as Ceph lists it. ``size`` is the image's size in bytes when it was taken."""

    id: int
    name: str
    size: int
    protected: bool = False


@dataclasses.dataclass(frozen=True)
class ImageInfo:
    """What ``rbd info`` says of an image. Sizes in bytes; ``snapshot_count`` counts those of all kinds.

    It is 0 where this ``rbd`` does not tell. An image that is not ``primary`` is a copy that mirroring writes: it takes
    no snapshot but mirroring's own.
    """

    id: str
    size: int
    object_size: int
    features: tuple[str, ...]
    snapshot_count: int = 0
    parent: str | None = None
    data_pool: str | None = None
    stripe_unit: int | None = None
    stripe_count: int | None = None
    primary: bool = True


@dataclasses.dataclass(frozen=True)
class ListedImage:
    """What the listing of a whole pool says of an image: its size in bytes and its snapshots, in ascending id."""

    id: str
    size: int
    snapshots: tuple[Snapshot, ...]


@dataclasses.dataclass(frozen=True)
class Listed:
    """An image as a listing of many names it: its name (in the trash the former one), id, names of its snapshots."""

    name: str
    id: str
    snapshots: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class State:
    """The content of an image at one snapshot. ``snapshot_id`` is None where a rebuilt manifest lost it."""

    snapshot: str
    snapshot_id: int | None
    size: int

    def may_be(self, other: State) -> bool:
        """Whether both can be the same: name and size are equal, and the snapshot ids where both are known."""
        ids = {number for number in (self.snapshot_id, other.snapshot_id) if number is not None}
        return self.snapshot == other.snapshot and self.size == other.size and len(ids) < 2


@dataclasses.dataclass(frozen=True)
class Archive:
    """A published file: the stream that leads from ``base`` (None: from nothing, a full) to ``to``."""

    file: str
    to: State
    base: State | None
    image_id: str | None
    stored_bytes: int
    stored_sha256: str
    stream_bytes: int
    stream_sha256: str
    image_digest: str | None = None
    rebuilt: bool = False

    @property
    def is_full(self) -> bool:
        """Whether the archive stands on nothing else."""
        return self.base is None
