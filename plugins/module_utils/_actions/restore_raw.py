# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore into a raw sparse file: neither Ceph nor Kubernetes is needed."""

from __future__ import annotations

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.choice import Choice
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.new_file import new_file
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.restore_content import open_content
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.raw import write_raw


def restore_raw(choice: Choice, path: str) -> str:
    """Make the file *path*, as sparse as the image was, and return the image digest of what is in it.

    Until everything is proved it has a name that begins with ``.tmp-``. Raises ArchiveError, InvalidInput,
    StreamError.
    """
    with new_file(path, "The unfinished file was removed.") as file, open_content(choice) as content:
        write_raw(content.records(), content.size, file)
    return content.digest
