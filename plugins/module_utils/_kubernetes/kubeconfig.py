# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task gives as its kubeconfig: told from a path, and searched for secrets. Needs no library."""

from __future__ import annotations

import typing as t

_SECRET_KEYS = frozenset(
    ("token", "password", "client-key-data", "access-token", "id-token", "refresh-token", "client-secret")
)


def is_text(kubeconfig: str) -> bool:
    """Whether this is the text of a kubeconfig where its path is wanted."""
    return "\n" in kubeconfig or "apiVersion" in kubeconfig


def secrets_in(kubeconfig: t.Any) -> list[str]:
    """Return the secrets inside a kubeconfig, for Ansible's list of values never to be printed.

    The text of a kubeconfig, which is no path and so of no use, is a secret as a whole.
    """
    if isinstance(kubeconfig, str) and is_text(kubeconfig):
        return [kubeconfig, *(word for word in kubeconfig.split() if len(word) > 15)]
    if isinstance(kubeconfig, list):
        return [secret for item in kubeconfig for secret in secrets_in(item)]
    if not isinstance(kubeconfig, dict):
        return []
    found = []
    for key, value in kubeconfig.items():
        if key in _SECRET_KEYS and isinstance(value, str) and value:
            found.append(value)
        elif key == "exec" and isinstance(value, dict):
            found += [str(item["value"]) for item in value.get("env") or () if item.get("value")]
        else:
            found.extend(secrets_in(value))
    return found
