# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of scripts/restore.py: a restore that needs no Ansible, no Ceph and no Kubernetes."""

from __future__ import annotations

import argparse
import os
import re
import sys
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.choice import (
    Choice,
    choose_point,
    inventory_of,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.new_file import check_new_file
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.restore_content import (
    open_content,
    prove,
    recorded_digest,
    refuse_unproved,
    unproved_joins,
    warnings_of,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.restore_raw import restore_raw
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.names import (
    SET_FILE,
    VOLUME_FILE,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.points import known_points, why_lost
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.readers import ReaderLock
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.set_record import read_record
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.volume_directory import (
    VolumeDirectory,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.records import ZEROS, Data
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import (
    ArchiveError,
    BackupError,
    InvalidInput,
)

_ARCHIVE = re.compile(r"(.+)-\d{8}T\d{6}Z\.(?:full|from-.+\.diff)(?:\.zst|\.gz)?")
_ABOVE = (
    4  # a volume's directory is three levels below its backup set, and the root of several sets is one above
)


def main(arguments: t.Sequence[str]) -> int:
    """Do what the *arguments* say and return the exit code: 0, 1 for a failure, 2 for a wrong command line."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        if options.command == "list":
            return _list(options)
        _restore(options)
    except BackupError as error:
        _say(f"{parser.prog}: {error.message}")
        return 1
    except BrokenPipeError:
        # whoever reads has gone; Python must not try to write the rest when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _say(f"{parser.prog}: whoever reads the output ended before its end.")
        return 1
    except OSError as error:
        # of the output; whatever concerns the backup has words of its own
        _say(
            f"{parser.prog}: the output cannot be written: {error.strerror}. It is not complete: do not use it."
        )
        # Python must not try to write the rest when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        _say(f"{parser.prog}: ended by you; an unfinished file was removed.")
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="restore.py",
        description="Restore volumes from the archives of rbd_backup.gfs. Needs Python 3.9, and for archives "
        "compressed with zstd its Python library zstandard or the program zstd; neither Ansible, nor Ceph, nor "
        "Kubernetes.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="list|restore")
    listing = commands.add_parser("list", help="list the volumes below DIRECTORY and their restore points")
    restoring = commands.add_parser(
        "restore", help="restore one volume, after its whole chain of archives was read and proved"
    )
    for command in (listing, restoring):
        command.add_argument("directory", metavar="DIRECTORY", help="the directory of a volume, or one above")
        command.add_argument("--prefix", help="of the snapshots, where that cannot be found out")
    restoring.add_argument("--point", default="latest", help="latest (default), a snapshot's name, or a time")
    restoring.add_argument(
        "--accept-unproved",
        action="store_true",
        help="also where rebuilt manifests bind archives by the names of snapshots alone",
    )
    target = restoring.add_mutually_exclusive_group(required=True)
    target.add_argument("--raw", metavar="FILE", help="a new raw file, as sparse as the image was")
    target.add_argument(
        "--stdout", action="store_true", help="a pipe; then mind its exit code (set -o pipefail)"
    )
    restoring.add_argument(
        "--format",
        choices=("raw", "diff"),
        default="raw",
        help="with --stdout: the bytes of the image, or a stream for 'rbd import-diff - IMAGE'",
    )
    return parser


def _list(options: argparse.Namespace) -> int:
    """List everything; return 1 where something is not as it should be."""
    code = 0
    for path in _volumes(options.directory):
        try:
            defects = _list_volume(VolumeDirectory.read(path), options.prefix)
        except BackupError as error:  # the others can be listed all the same
            _tell(f"{path}\n  {error.message}")
            defects = True
        code = 1 if defects else code
    sys.stdout.flush()
    return code


def _list_volume(directory: VolumeDirectory, prefix: str | None) -> bool:
    """List one volume and return whether something of it cannot be restored."""
    prefix = prefix or _prefix(directory.path)
    inventory, description = inventory_of(directory, prefix), directory.description
    _tell(f"{description['volume']['namespace']}/{description['volume']['claim']}")
    _tell(f"  directory  {directory.path}")
    _tell(f"  image      {description['volume']['image']}, id {directory.identity.image_id}")
    points = known_points(inventory, prefix)
    for point in points:
        if point.chain is None:
            _tell(f"  {point.snapshot}  cannot be restored:")
            for problem in why_lost(inventory, point.snapshot, prefix):
                _tell(f"    {problem.message}")
        else:
            stored = sum(archive.stored_bytes for archive in point.chain)
            size = point.chain[-1].to.size
            joins = unproved_joins(Choice(directory, point.snapshot, point.time, point.chain))
            _tell(
                f"  {point.snapshot}  {size} bytes, from {len(point.chain)} archive(s) of {stored} bytes"
                + (", unproved: --accept-unproved is needed" if joins else "")
            )
    if not points:
        _tell("  no archive, and so no restore point")
    return any(point.chain is None for point in points)


def _tell(text: str) -> None:
    sys.stdout.write(text + "\n")


def _restore(options: argparse.Namespace) -> None:
    found = _volumes(options.directory)
    if len(found) > 1:
        raise InvalidInput(
            f"{options.directory} holds {len(found)} volumes: give the directory of one of them.\n"
            + "\n".join(found)
        )
    directory = VolumeDirectory.read(found[0])
    prefix = options.prefix or _prefix(directory.path)
    if options.raw:
        check_new_file(options.raw)
    elif sys.stdout.isatty():
        raise InvalidInput("The output is a terminal: send it through a pipe or into a file.")
    with ReaderLock(directory.path) as lock:
        if lock.warning:
            _say(lock.warning)
        choice = choose_point(directory, prefix, options.point)
        if not options.accept_unproved:
            refuse_unproved(choice, "--accept-unproved (of rbd_restore: accept_unproved)")
        _say(f"{choice.snapshot} of {choice.directory}: reading {len(choice.chain)} archive(s) ...")
        prove(choice)
        recorded = recorded_digest(choice)
        for warning in warnings_of(choice):
            _say(warning)
        _say("The chain is whole and undamaged. Restoring ...")
        digest = restore_raw(choice, options.raw) if options.raw else _stream(choice, options.format)
    _say(f"Done: {choice.chain[-1].to.size} bytes, image digest {digest}, " + _comparison(recorded))


def _comparison(recorded: str | None) -> str:
    return "as on record." if recorded else "none on record to compare with."


def _stream(choice: Choice, form: str) -> str:
    output = sys.stdout.buffer
    with open_content(choice) as content:
        if form == "diff":
            content.write_stream(output.write)
        else:
            done = 0
            for record in content.records():
                if isinstance(record, Data):
                    _zeros(output, record.offset - done)
                    output.write(record.data)
                    done = record.end
            _zeros(output, content.size - done)
        output.flush()
    return content.digest


def _zeros(output: t.BinaryIO, length: int) -> None:
    while length > 0:
        piece = min(length, len(ZEROS))
        output.write(ZEROS[:piece])
        length -= piece


def _volumes(path: str) -> list[str]:
    """The directories of volumes at or below *path*."""
    if not os.path.isdir(path):
        raise InvalidInput(f"{path} is not a directory.")

    def unreadable(error: OSError) -> t.NoReturn:
        raise ArchiveError(f"Cannot list {error.filename}: {error.strerror}. There may be volumes in it.")

    found: list[str] = []
    base = os.path.abspath(path)
    for folder, folders, files in os.walk(base, onerror=unreadable):
        folders[:] = sorted(name for name in folders if name != "lost+found" and not name.startswith("."))
        # without it nobody knows whose archives they are, which is for whoever reads it to say
        if VOLUME_FILE in files or any(map(_ARCHIVE.fullmatch, files)):
            found.append(folder)
            folders.clear()
        elif os.path.relpath(folder, base).count(os.sep) >= _ABOVE - 1:
            folders.clear()
    if not found:
        raise InvalidInput(f"There is no volume in {path} (no {VOLUME_FILE}). Is it mounted?")
    return found


def _prefix(path: str) -> str:
    above = path
    for _level in range(_ABOVE):
        above = os.path.dirname(above)
        try:
            return read_record(above).prefix
        except ArchiveError:
            pass  # a volume's directory can be restored alone, wherever it lies, and the names of archives tell as well
    names = {match[1] for match in map(_ARCHIVE.fullmatch, sorted(os.listdir(path))) if match}
    if len(names) == 1:
        return names.pop()
    raise InvalidInput(
        f"There is no {SET_FILE} above {path} that can be read, and its archives do not show the prefix of the "
        f"snapshots ({', '.join(sorted(names)) or 'none is there'}): give it by --prefix."
    )


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
