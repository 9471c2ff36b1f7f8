# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""File names in a volume's directory. Pure.

An archive is named after the states that it leads from and to, so that a person can read the chain from ``ls``::

    gfs-20261123T170000Z.full.zst
    gfs-20261124T170000Z.from-gfs-20261123T170000Z.diff.zst
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import InvalidInput
from ansible_collections.rbd_backup.gfs.plugins.module_utils._names import snapshot_time

SUFFIXES: t.Mapping[str, str] = {"zstd": ".zst", "gzip": ".gz", "none": ""}
"""The ways of compression, and what each adds to a file's name."""

SET_FILE = "backup-set.json"
VOLUME_FILE = "volume.json"
PROOF_FILE = "proof.json"
LOCK_FILE = ".lock"

_SNAPSHOT = r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}-[0-9]{8}T[0-9]{6}Z"
_ARCHIVE = re.compile(
    rf"(?P<to>{_SNAPSHOT})\.(?:full|from-(?P<base>{_SNAPSHOT})\.diff)(?P<suffix>\.zst|\.gz|)"
)
_MANIFEST_SUFFIX = ".json"
_REMOVAL_SUFFIX = ".removing"
_TEMPORARY = re.compile(r"\.tmp-[0-9]+-[0-9a-f]{16}-.+", re.DOTALL)
_READER = re.compile(r"\.reading-[0-9a-f]{32}")
_BAD = re.compile(r"(?P<file>.+)\.bad-[0-9]{8}T[0-9]{6}Z(?:-[0-9]+)?", re.DOTALL)
_COMPONENT_LIMIT = 120


class ArchiveName(t.NamedTuple):
    """What an archive's file name says: the snapshots by name (``base`` None: a full) and the compression."""

    to: str
    base: str | None
    compression: str


def archive_name(to: str, base: str | None, compression: str) -> str:
    """Name the archive that leads from snapshot *base* (None: from nothing) to snapshot *to*.

    Raises InvalidInput when the result would not be read back as the same archive by
    :func:`parse_archive_name`.
    """
    if compression not in SUFFIXES:
        raise InvalidInput(f"Unknown compression {compression!r}: use one of {', '.join(SUFFIXES)}.")
    middle = "full" if base is None else f"from-{base}.diff"
    file = f"{to}.{middle}{SUFFIXES[compression]}"
    if _split(file) != (to, base, compression):
        raise InvalidInput(
            f"No archive can lead from {base!r} to {to!r}: these are not two snapshots of ours."
        )
    return file


def parse_archive_name(prefix: str, file: str) -> ArchiveName | None:
    """Read an archive's name, or return None when *file* is not exactly the name of an archive of this *prefix*."""
    name = _split(file)
    if name is None or snapshot_time(prefix, name.to) is None:
        return None
    if name.base is not None and snapshot_time(prefix, name.base) is None:
        return None
    return name


def compression_of(file: str) -> str:
    """Return the compression that the name of an archive says. Raises InvalidInput when it is not an archive's."""
    name = _split(file)
    if name is None:
        raise InvalidInput(f"{file!r} is not the name of an archive.")
    return name.compression


def manifest_name(file: str) -> str:
    """Name the manifest of the archive *file*."""
    return file + _MANIFEST_SUFFIX


def archive_of_manifest(file: str) -> str | None:
    """Return the name of the archive that *file* would be the manifest of; None when it cannot be a manifest."""
    return file[: -len(_MANIFEST_SUFFIX)] if file.endswith(_MANIFEST_SUFFIX) else None


def removal_name(file: str) -> str:
    """Name the record that the archive *file* is being removed."""
    return file + _REMOVAL_SUFFIX


def archive_of_removal(file: str) -> str | None:
    """Return the name of the archive whose removal *file* records; None when it is no such record."""
    archive = file[: -len(_REMOVAL_SUFFIX)]
    return archive if file.endswith(_REMOVAL_SUFFIX) and _split(archive) else None


def temporary_name(file: str, pid: int, token: str) -> str:
    """Name the temporary under which *file* is written by process *pid*; *token* is 16 hexadecimal digits."""
    return f".tmp-{pid}-{token}-{file}"


def is_temporary(file: str) -> bool:
    """Whether *file* is a temporary of ours, which nobody will finish once its writer is gone."""
    return _TEMPORARY.fullmatch(file) is not None


def unfinished_name(directory: str) -> str:
    """Name the directory under which *directory* stands until it has some content. No scan enters it."""
    return f".new-{directory}"


def reader_name(token: str) -> str:
    """Name the file that says that somebody reads archives; *token* is 32 hexadecimal digits."""
    return f".reading-{token}"


def is_reader(file: str) -> bool:
    """Whether *file* says that somebody reads archives."""
    return _READER.fullmatch(file) is not None


def bad_name(file: str, time: dt.datetime, number: int = 1) -> str:
    """Name what was published as *file* once it is superseded or damaged; *number* tells several of a second apart."""
    stamp = time.astimezone(dt.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    return f"{file}.bad-{stamp}" + (f"-{number}" if number > 1 else "")


def name_before_bad(file: str) -> str | None:
    """Return the name under which the superseded *file* was published; None when it is not a superseded one."""
    match = _BAD.fullmatch(file)
    return match["file"] if match else None


def component(name: str) -> str:
    """Turn any text into one component of a path that stays what it is: it never climbs, hides or looks like an option.

    Letters, digits, ``.``, ``_`` and ``-`` stay, save a ``.`` or ``-`` in front; the rest is percent-encoded.
    Long names are cut and end in a hash, so that different names stay different.
    """
    text = "".join(
        char if re.fullmatch(r"[A-Za-z0-9_]" if index == 0 else r"[A-Za-z0-9._-]", char) else _percent(char)
        for index, char in enumerate(name)
    )
    if len(text) <= _COMPONENT_LIMIT:
        return text or "_"
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{text[: _COMPONENT_LIMIT - 17]}~{digest}"


def _percent(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogatepass"))


def _split(file: str) -> ArchiveName | None:
    match = _ARCHIVE.fullmatch(file)
    if match is None or match["to"] == match["base"]:
        return None
    compression = next(name for name, suffix in SUFFIXES.items() if suffix == match["suffix"])
    return ArchiveName(match["to"], match["base"], compression)
