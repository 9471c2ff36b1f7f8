# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The typed errors of the collection: a message for the person at 3 a.m., and details for playbooks."""

from __future__ import annotations

import typing as t


class BackupError(Exception):
    """Something failed in a way that a user can act on.

    *message* is a whole sentence or two: what failed, on which volume, what was left untouched, what to do next.
    *details* are JSON-able values that a playbook may read; they never hold a secret.
    """

    def __init__(self, message: str, **details: t.Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class InvalidInput(BackupError):
    """An option or an inventory value that cannot be used; raised before anything is touched."""


class HalfDone(BackupError):
    """Something failed after something had been changed. The message says what was, and in which state it is now."""


class MissingLibrary(BackupError):
    """A Python library that the run needs is not installed. ``details["library"]`` names it."""


class StreamError(BackupError):
    """A diff stream is damaged, cut short, or not what was asked for. ``details["offset"]`` is the byte offset."""


class ArchiveError(BackupError):
    """The backup set, an archive or a manifest is missing, damaged or not ours."""


class LockedError(BackupError):
    """Another run holds the volume."""


class CephError(BackupError):
    """A Ceph command failed, timed out, or answered something that cannot be trusted."""


class NotFound(CephError):
    """The image or snapshot does not exist: Ceph was reached and said so."""


class KubernetesError(BackupError):
    """The Kubernetes API could not be used, or answered something that cannot be trusted."""
