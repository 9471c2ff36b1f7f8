# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that a restore makes outside of the backup set: never over one that exists, and whole or not at all."""

from __future__ import annotations

import contextlib
import os
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.files import (
    open_temporary,
    os_errors,
    remove_if_there,
    sync_directory,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.problems import UNREADABLE, UNWRITABLE
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import InvalidInput


def check_new_file(path: str) -> None:
    """Refuse a *path* at which no new file can be made. Raises ArchiveError, InvalidInput."""
    with os_errors("look at", path, UNREADABLE, "Nothing was touched."):
        if os.path.lexists(path):
            raise InvalidInput(
                f"{path} exists, and a restore never overwrites a file. Nothing was touched. Choose another path, or "
                "remove it first."
            )
        folder = os.path.dirname(os.path.abspath(path))
        if not os.path.isdir(folder):
            raise InvalidInput(
                f"The directory {folder} does not exist. Nothing was touched. Create or mount it first."
            )
        if not os.access(folder, os.W_OK | os.X_OK):
            raise InvalidInput(f"The directory {folder} is not writable for this user. Nothing was touched.")


@contextlib.contextmanager
def new_file(path: str, untouched: str) -> t.Iterator[t.BinaryIO]:
    """Write the new file *path*. It has a name that begins with ``.tmp-`` until the context ends without an error.

    *untouched* tells the reader of an error what was left as it was. Raises ArchiveError (UNWRITABLE), InvalidInput.
    """
    path = os.path.abspath(path)
    with os_errors("write", path, UNWRITABLE, untouched):
        descriptor, written = open_temporary(path)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            if os.path.lexists(path):
                raise InvalidInput(
                    f"{path} came into being meanwhile, and a restore never overwrites a file. {untouched}"
                )
            os.rename(written, path)
            written = path
            sync_directory(os.path.dirname(path))
        except BaseException:
            remove_if_there(written)
            raise
