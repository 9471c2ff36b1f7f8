# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An RBD client: what the rest of the collection wants of Ceph, said with ``rbd`` and ``ceph`` commands.

Every command names pool, RADOS namespace, image and snapshot by options of their own. ``rbd`` takes even those apart
at ``/`` and ``@`` (``--image a@b`` is a snapshot), so that a name with one of them is refused here.
"""

from __future__ import annotations

import math
import re
import threading
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph import answers
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.commands import Commands
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.runner import (
    InputStream,
    OutputStream,
    Runner,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import CephError, InvalidInput, NotFound
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import (
    Identity,
    ImageInfo,
    ImageSpec,
    ListedImage,
    Snapshot,
)

# A ceph.conf may turn debugging on and send it to the terminal (Rook's config override does); it must never get into
# a stream or an answer.
_QUIET = ("--debug-ms", "0", "--log-to-stderr=false", "--err-to-stderr=true")

# What can be asked for at creation; other features follow from how an image is made or used.
_CREATABLE = ("layering", "exclusive-lock", "object-map", "fast-diff", "deep-flatten", "journaling")


class RbdClient:
    """One Ceph cluster, reached through *runner*. Safe to use from several threads.

    Every method raises CephError when the command fails, does not end in time, or answers something that cannot be
    trusted, and NotFound when Ceph was reached and said that the image, snapshot, pool or RADOS namespace does not
    exist. Messages say what failed on which image, where, and what the command said. A name that cannot be one is
    InvalidInput.
    """

    def __init__(
        self,
        runner: Runner,
        conf: str | None = None,
        keyring: str | None = None,
        user: str | None = None,
        extra_args: t.Sequence[str] = (),
        timeout: float = 60.0,
        stall_timeout: float = 600.0,
    ) -> None:
        """*conf* and *keyring* are paths where the commands run; *user* is a cephx id without ``client.``.

        *timeout* is for a whole command, *stall_timeout* for a stream that stands still; both in seconds.
        """
        self._commands = Commands(runner, timeout, stall_timeout)
        access = [("--conf", conf), ("--keyring", keyring), ("--id", user)]
        common = [part for option, value in access if value for part in (option, value)]
        # Half of the time is for finding a monitor: the command then says itself that it found none.
        connect = str(max(1, int(timeout / 2)))
        self._rbd = ("rbd", *common, *_QUIET, "--client-mount-timeout", connect, *extra_args)
        self._ceph = ("ceph", *common, *_QUIET, "--connect-timeout", connect, *extra_args)
        self._lock = threading.Lock()
        self._cluster: tuple[str, dict[str, int]] | None = None
        self._version: str | None = None

    def fsid(self) -> str:
        """Return the id of the Ceph cluster; asked once, together with the pools."""
        return self._asked()[0]

    def pool_ids(self) -> dict[str, int]:
        """Return the id of every pool by its name; asked once, together with the cluster's id."""
        return dict(self._asked()[1])

    def trimming_pgs(self) -> int:
        """Return how many placement groups of the cluster trim removed snapshots, or wait to."""
        command = (*self._ceph, "status", "--format", "json")
        return self._commands.ask(
            "asking how busy the cluster is with removed snapshots", command, answers.trimming_pgs
        )

    def version(self) -> str:
        """Return the version of the ``rbd`` that is used, e.g. ``16.2.15``; asked once."""
        with self._lock:
            if self._version is None:
                self._version = self._commands.ask(
                    "asking rbd for its version", ("rbd", "--version"), _version_in
                )
            return self._version

    def info(self, spec: ImageSpec, snapshot: str | None = None) -> ImageInfo:
        """Return what Ceph knows of the image itself, as it is now or as it was at *snapshot*."""
        at = () if snapshot is None else ("--snap", snapshot)
        doing = f"reading image {spec}" + (f"@{snapshot}" if snapshot else "")
        return self._commands.ask(doing, self._on(spec, "info", *at, "--format", "json"), answers.image_info)

    def identity(self, spec: ImageSpec, info: ImageInfo | ListedImage | None = None) -> Identity:
        """Return what makes the image that image; *info* is what Ceph said of it, where that was asked already."""
        pool_id = self.pool_ids().get(spec.pool)
        if pool_id is None:
            raise NotFound(f"Ceph has no pool {spec.pool} (asked for image {spec}, {self._commands.where}).")
        return Identity(self.fsid(), pool_id, spec.rados_namespace, (info or self.info(spec)).id)

    def snapshots(self, spec: ImageSpec) -> tuple[Snapshot, ...]:
        """Return the image's snapshots in the order in which they were taken (ascending id).

        Those that Ceph keeps for itself (mirroring, groups, trash) are left out.
        """
        command = self._on(spec, "snap", "ls", "--all", "--format", "json")
        return self._commands.ask(f"listing the snapshots of {spec}", command, answers.snapshots)

    def list_images(self, pool: str, rados_namespace: str) -> dict[str, ListedImage]:
        """Return the images of a pool or of one RADOS namespace in it with their snapshots, in one command.

        An image that is missing may exist all the same: ``rbd`` passes over what it cannot open, and tells the reason
        to who asks for that image alone. One without snapshots may have some: it passes over what it cannot list. It
        takes the longer the more there is in the pool, so that the stall time-out limits it, not that of a command.
        """
        doing = f"listing the images of {_place(pool, rados_namespace)}"
        command = (*self._in(pool, rados_namespace, "ls"), "--long", "--format", "json")
        # It writes when it is through or not at all, and its exit code is what became of the last image.
        completed = self._commands.look_long(
            doing, command, lambda found: bool(found.stdout) and "rbd: error opening " in found.stderr
        )
        # The list of an image's snapshots may end early, and which image that is cannot be told for certain where
        # words of several threads mix.
        if "rbd: error processing image " in completed.stderr or completed.is_cut:
            return {}
        return self._commands.told(doing, lambda: answers.listed_images(completed.stdout))

    def image_names(self, pool: str, rados_namespace: str) -> frozenset[str]:
        """Return the names of all images of a pool or RADOS namespace, also of such as cannot be opened."""
        doing = f"listing the names of the images of {_place(pool, rados_namespace)}"
        command = (*self._in(pool, rados_namespace, "ls"), "--format", "json")
        return self._commands.ask(doing, command, answers.image_names)

    def trash(self, pool: str, rados_namespace: str) -> dict[str, str]:
        """Return the images in the trash of a pool or RADOS namespace: their former names by id."""
        doing = f"listing the trash of {_place(pool, rados_namespace)}"
        command = (*self._in(pool, rados_namespace, "trash", "ls"), "--all", "--format", "json")
        return dict(self._commands.ask(doing, command, answers.trash))

    def snapshots_in_trash(self, pool: str, rados_namespace: str, image_id: str) -> tuple[Snapshot, ...]:
        """Return the snapshots of an image in the trash, as :meth:`snapshots` does."""
        doing = (
            f"listing the snapshots of image id {image_id} in the trash of {_place(pool, rados_namespace)}"
        )
        command = self._in(pool, rados_namespace, "snap", "ls", "--all", "--image-id", image_id)
        return self._commands.ask(doing, (*command, "--format", "json"), answers.snapshots)

    def has_clones(self, spec: ImageSpec, snapshot: Snapshot) -> bool:
        """Return whether images were cloned from the snapshot, also such as are in the trash."""
        command = self._on(spec, "children", "--snap-id", str(snapshot.id), "--all", "--format", "json")
        return self._commands.ask(
            f"listing the clones of {spec}@{snapshot.name}", command, answers.has_children
        )

    def create_snapshot(self, spec: ImageSpec, name: str) -> None:
        """Take a snapshot. One of that name that exists is an error."""
        self._commands.run(
            f"taking snapshot {spec}@{name}", self._on(spec, "snap", "create", "--snap", _name(name))
        )

    def remove_snapshot(self, spec: ImageSpec, snapshot_id: int) -> None:
        """Remove exactly the snapshot of this id, whatever its name; a protected one is an error."""
        # No --no-progress: rbd refuses it beside --snap-id.
        command = self._on(spec, "snap", "rm", "--snap-id", str(snapshot_id))
        self._commands.run(f"removing the snapshot with id {snapshot_id} of {spec}", command)

    def used_bytes(self, spec: ImageSpec) -> dict[int, int]:
        """Return, by snapshot id, the bytes of all objects that changed since the snapshot before it; under the id
        after the last one those of the image itself.

        Looks at every object where the image has no object map.
        """
        command = self._on(spec, "du", "--format", "json")
        return self._commands.ask(f"measuring image {spec}", command, answers.used_bytes)

    def export_diff(
        self, spec: ImageSpec, to: str | None, base: str | None, timeout: float = math.inf
    ) -> OutputStream:
        """Start the stream that leads from snapshot *base* (None: from nothing) to snapshot *to* (None: to the image).

        It is ended after *timeout* seconds, also in the middle of its data.
        """
        since = () if base is None else ("--from-snap", _name(base))
        # The progress display stays on: it is the sign of life where an image has nothing to export for minutes.
        until = () if to is None else ("--snap", _name(to))
        command = self._on(spec, "export-diff", *until, *since, "--path", "-")
        doing = f"exporting {spec}" + (f"@{to}" if to else "") + (f" from {base}" if base else "")
        return self._commands.open_output(doing, command, timeout)

    def import_diff(self, spec: ImageSpec) -> InputStream:
        """Start to apply a stream to the image. It is completed by ``finish()`` only; an abort leaves a part of it."""
        command = self._on(spec, "import-diff", "--path", "-")
        return self._commands.open_input(f"importing into {spec}", command)

    def create_image(
        self,
        spec: ImageSpec,
        size: int,
        object_size: int,
        features: t.Sequence[str],
        data_pool: str | None = None,
        stripe_unit: int | None = None,
        stripe_count: int | None = None,
    ) -> None:
        """Create an empty image; sizes in bytes. An image of that name that exists is an error.

        *features* may be those of another image: what cannot be asked for at creation is left out.
        """
        options = ["--size", f"{size}B", "--object-size", f"{object_size}B"]
        for feature in features:
            if feature in _CREATABLE:
                options += ["--image-feature", feature]
        if data_pool:
            options += ["--data-pool", data_pool]
        if stripe_unit and stripe_count and (stripe_unit, stripe_count) != (object_size, 1):
            options += ["--stripe-unit", f"{stripe_unit}B", "--stripe-count", str(stripe_count)]
        self._commands.run(f"creating image {spec}", self._on(spec, "create", *options))

    def remove_image(self, spec: ImageSpec) -> None:
        """Remove the image; one with snapshots or watchers is an error. Takes as long as it needs while it goes on."""
        self._commands.run_long(f"removing image {spec}", self._on(spec, "rm"))

    def empty_image(self, spec: ImageSpec, size: int) -> None:
        """Make all of the image zero and thin, and *size* bytes long; its snapshots keep what they hold.

        It is cut to nothing first: that also cuts it off from a parent, whose data would show through a discard.
        """
        for bytes_left in (0, size):
            command = self._on(spec, "resize", "--size", f"{bytes_left}B", "--allow-shrink")
            self._commands.run_long(f"resizing image {spec} to {bytes_left} bytes", command)

    def rename_image(self, spec: ImageSpec, new_name: str) -> None:
        """Rename the image within its pool and RADOS namespace."""
        target = ["--dest-pool", spec.pool, "--dest", _name(new_name)]
        if spec.rados_namespace:
            target += ["--dest-namespace", spec.rados_namespace]
        self._commands.run(f"renaming image {spec} to {new_name}", self._on(spec, "rename", *target))

    def watchers(self, spec: ImageSpec) -> int:
        """Return how many clients have the image open for writing."""
        command = self._on(spec, "status", "--format", "json")
        return self._commands.ask(f"asking who uses image {spec}", command, answers.watchers)

    def metadata(self, spec: ImageSpec) -> dict[str, str]:
        """Return the image's metadata. It may hold an encryption key: never print it."""
        doing, command = f"reading the metadata of {spec}", self._on(spec, "image-meta", "list")
        answer = self._commands.look(doing, (*command, "--format", "json"))
        # rbd answers with nothing at all, exit code 0, where an image has none; only its words prove that.
        if not answer and b"There are 0 metadata" in self._commands.look(doing, command):
            return {}
        return self._commands.told(doing, lambda: answers.metadata(answer))

    def set_metadata(self, spec: ImageSpec, key: str, value: str) -> None:
        """Set one entry of the image's metadata. While it runs the value can be seen in the list of processes."""
        self._commands.run(
            f"setting metadata {key} of {spec}", self._on(spec, "image-meta", "set", key, value)
        )

    def remove_metadata(self, spec: ImageSpec, key: str) -> None:
        """Remove one entry of the image's metadata."""
        self._commands.run(f"removing metadata {key} of {spec}", self._on(spec, "image-meta", "remove", key))

    def rados_namespaces(self, pool: str) -> tuple[str, ...]:
        """Return the RADOS namespaces for images of a pool, without the default one."""
        command = (*self._rbd, "namespace", "ls", "--pool", _name(pool), "--format", "json")
        return self._commands.ask(
            f"listing the RADOS namespaces of pool {pool}", command, answers.rados_namespaces
        )

    def close(self) -> None:
        """Let go of the runner's connections."""
        self._commands.close()

    def _asked(self) -> tuple[str, dict[str, int]]:
        with self._lock:
            if self._cluster is None:
                # One command for both: ceph is a Python program, and takes longer to start than any rbd.
                doing, command = "asking for the Ceph cluster's id and pools", (*self._ceph, "osd", "dump")
                self._cluster = self._commands.ask(doing, (*command, "--format", "json"), answers.cluster)
            return self._cluster

    def _on(self, spec: ImageSpec, *command: str) -> tuple[str, ...]:
        return (*self._in(spec.pool, spec.rados_namespace, *command), "--image", _name(spec.image))

    def _in(self, pool: str, rados_namespace: str, *command: str) -> tuple[str, ...]:
        namespace = ("--namespace", _name(rados_namespace)) if rados_namespace else ()
        return (*self._rbd, *command, "--pool", _name(pool), *namespace)


def _name(name: str) -> str:
    if not name or name.startswith("-") or "/" in name or "@" in name:
        raise InvalidInput(
            f"{name!r} cannot be the name of an image, a snapshot, a pool or a RADOS namespace of Ceph. "
            "Nothing was touched."
        )
    return name


def _place(pool: str, rados_namespace: str) -> str:
    return f"{pool}/{rados_namespace}" if rados_namespace else pool


def _version_in(said: bytes) -> str:
    text = said.decode("utf-8", "replace")
    found = re.search(r"\bversion (\S+)", text)
    if not found:
        raise CephError(f"It said {text[:80]!r}, which names no version.")
    return found.group(1)
