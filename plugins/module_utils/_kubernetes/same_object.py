# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an object that is in the cluster is the one that would be created. Pure."""

from __future__ import annotations

import typing as t

_USED_UP = ("Released", "Failed", "Lost")  # nothing can be bound to it any more
_SUFFIXES = {
    suffix: base**power
    for base, binary in ((1000, ""), (1024, "i"))
    for power, letter in enumerate("kMGTPE", 1)
    for suffix in [(letter.upper() if binary else letter) + binary]
}


def is_same(wanted: t.Mapping[str, t.Any], there: t.Mapping[str, t.Any]) -> bool:
    """Whether *there* says all that *wanted* says, and is of use still. What others have added does not matter."""
    phase = (there.get("status") or {}).get("phase")
    deleted = (there.get("metadata") or {}).get("deletionTimestamp")
    return not deleted and phase not in _USED_UP and _holds(there, wanted)


def _holds(there: t.Any, wanted: t.Any) -> bool:
    if isinstance(wanted, dict):
        return isinstance(there, dict) and all(
            _is_size(there.get(key), value) if key == "storage" else _holds(there.get(key), value)
            for key, value in wanted.items()
            if key not in ("apiVersion", "kind")  # a list leaves them out
        )
    return bool(there == wanted)


def _is_size(there: t.Any, wanted: t.Any) -> bool:
    return _bytes(there) is not None and _bytes(there) == _bytes(wanted)


def _bytes(quantity: t.Any) -> int | None:
    """A quantity of Kubernetes in bytes, as the API server may have written it anew; None: it is none."""
    text = str(quantity)
    number = text.rstrip("kKMGTPEi")
    factor = _SUFFIXES.get(text[len(number) :], 1 if text == number else 0)
    return int(number) * factor if factor and number.isdigit() else None
