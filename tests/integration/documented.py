# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a module returns is what its documentation says: every key, its type, and no other."""

from __future__ import annotations

import typing as t

import yaml

# Ansible's own, and those of the adapter, which no module documents.
_COMMON = {"changed", "failed", "msg", "details", "warnings", "deprecations", "diff", "invocation"}
_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (float, int),
    "bool": (bool,),
    "list": (list,),
    "dict": (dict,),
}


def contradictions(documentation: str, result: t.Mapping[str, t.Any]) -> list[str]:
    """List where *result* is not as the text of a module's RETURN says.

    A run that failed as a whole returns none of it.
    """
    documented = yaml.safe_load(documentation)
    values = {key: value for key, value in result.items() if key not in _COMMON}
    if result.get("failed") and not values:
        return []
    return _compare("", documented, values, optional=False)


def _compare(
    where: str, documented: t.Mapping[str, t.Any], values: t.Mapping[str, t.Any], optional: bool
) -> list[str]:
    found = [f"{where}{key} is not documented" for key in values if key not in documented]
    for key, entry in documented.items():
        name = where + key
        if key not in values:
            found += [] if optional and "returned" in entry else [f"{name} is missing"]
            continue
        value = values[key]
        if value is not None and not _is_of(value, entry["type"]):
            found.append(f"{name} is {value!r} and no {entry['type']}")
        items = value if isinstance(value, list) else [value]
        for item in items:
            if "contains" in entry and isinstance(item, dict):
                found += _compare(f"{name}.", entry["contains"], item, optional=True)
            elif isinstance(value, list) and not _is_of(item, entry["elements"]):
                found.append(f"{name} holds {item!r} and no {entry['elements']}")
    return found


def _is_of(value: object, kind: str) -> bool:
    return isinstance(value, _TYPES[kind]) and (kind == "bool" or not isinstance(value, bool))
