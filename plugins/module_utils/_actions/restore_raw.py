# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore into a raw sparse file: neither Ceph nor Kubernetes is needed."""

from __future__ import annotations

import os

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.choice import Choice
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.restore_content import open_content
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.files import (
    open_temporary,
    os_errors,
    remove_if_there,
    sync_directory,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.problems import UNREADABLE, UNWRITABLE
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.raw import write_raw
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import InvalidInput


def check_raw(path: str) -> None:
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


def restore_raw(choice: Choice, path: str) -> str:
    """Make the file *path*, as sparse as the image was, and return the image digest of what is in it.

    Until everything is proved it has a name that begins with ``.tmp-``. Raises ArchiveError, InvalidInput,
    StreamError.
    """
    path = os.path.abspath(path)
    with os_errors("write", path, UNWRITABLE, "The unfinished file was removed."):
        descriptor, temporary = open_temporary(path)
        try:
            with os.fdopen(descriptor, "wb") as file, open_content(choice) as content:
                write_raw(content.records(), content.size, file)
                file.flush()
                os.fsync(file.fileno())
            check_raw(path)  # what came there meanwhile is not ours
            os.rename(temporary, path)
            sync_directory(os.path.dirname(path))
        except BaseException:
            remove_if_there(temporary)
            raise
    return content.digest
