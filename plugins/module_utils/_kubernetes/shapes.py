# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read of every object, and of claims and persistent volumes, and of which type it has to be. Pure.

A real API server sends nothing else. What stands between it and us might, and one volume that cannot be read must not
cost all others.
"""

from __future__ import annotations

import typing as t

_TEXT, _NO_TEXT, _TEXTS = "a text", "a text or absent", "a map of texts or absent"
_OWNERS = "a list of owners or absent"
_Shape = t.Mapping[str, t.Any]

OBJECT: _Shape = {
    "metadata": {
        "name": _TEXT,
        "labels": _TEXTS,
        "annotations": _TEXTS,
        "ownerReferences": _OWNERS,
    },
    "spec?": {},
}
PERSISTENT_VOLUME: _Shape = {
    "spec": {
        "storageClassName": _NO_TEXT,
        "claimRef?": {"namespace": _NO_TEXT, "name": _NO_TEXT, "uid": _NO_TEXT},
        "csi?": {"driver": _TEXT, "volumeHandle": _TEXT, "volumeAttributes": _TEXTS},
        "rbd?": {"pool": _NO_TEXT, "image": _NO_TEXT},
        "flexVolume?": {"driver": _TEXT, "options": _TEXTS},
    },
}
CLAIM: _Shape = {
    "metadata": {"namespace": _TEXT, "uid": _TEXT},
    "spec": {"storageClassName": _NO_TEXT, "volumeName": _NO_TEXT},
    "status?": {"phase": _NO_TEXT},
}


def fault(item: t.Any, shape: _Shape, place: str = "") -> str:
    """Say what of *item* is not of *shape*, e.g. ``spec.csi.volumeHandle is not a text``; nothing when all is well."""
    if not isinstance(item, dict):
        return f"{place or 'it'} is not a map"
    for key, wanted in shape.items():
        name = key.rstrip("?")
        here, value = f"{place}.{name}".lstrip("."), item.get(name)
        if isinstance(wanted, str):
            if not _FITS[wanted](value):
                return f"{here} is not {wanted}"
        elif value is not None or name == key:
            inner = fault(value, wanted, here)
            if inner:
                return inner
    return ""


def _is_text(value: t.Any) -> bool:
    return isinstance(value, str)


def _is_map_of_texts(value: t.Any) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())


def _is_list_of_owners(value: t.Any) -> bool:
    return isinstance(value, list) and not any(
        fault(owner, {"kind": _TEXT, "name": _TEXT}) for owner in value
    )


_FITS: t.Mapping[str, t.Callable[[t.Any], bool]] = {
    _TEXT: _is_text,
    _NO_TEXT: lambda value: value is None or _is_text(value),
    _TEXTS: lambda value: value is None or _is_map_of_texts(value),
    _OWNERS: lambda value: value is None or _is_list_of_owners(value),
}
