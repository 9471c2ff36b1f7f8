# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make one archive out of those on disk: nothing is read from Ceph."""

from __future__ import annotations

import contextlib

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.publishing import Publisher
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.problems import DAMAGED
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.proof import load_proof
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.verify import ArchiveReader
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.merge import merge
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import ArchiveError
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Archive
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.remaking import Remake


def merge_archives(publisher: Publisher, remake: Remake) -> Archive:
    """Merge the inputs of *remake*, each proved in the same pass, and publish the archive once it is proved itself.

    Raises ArchiveError, with the kind DAMAGED where an input is not what was recorded, and LockedError; nothing is
    published then.
    """
    path = publisher.directory.path
    with publisher.begin(remake.to, remake.base, remake.reason) as draft:
        with contextlib.ExitStack() as stack:
            merged = merge([stack.enter_context(ArchiveReader(path, archive)) for archive in remake.inputs])
            digest = draft.write(merged.header, merged.records)
        recorded = load_proof(path).image_digest(remake.to)
        if digest and recorded not in (None, digest):
            raise ArchiveError(
                f"The archives of {publisher.directory} lead to an image with digest {digest}, and on record for "
                f"{remake.to.snapshot} is {recorded}: they are not what was backed up. Nothing was changed.",
                kind=DAMAGED,
            )
        return draft.publish()
