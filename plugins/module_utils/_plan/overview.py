# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The overview of a backup set as a table for people. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.units import age, size


def overview(volume: str, entry: t.Mapping[str, t.Any]) -> list[str]:
    """Return what *entry*, the overview of one *volume* as data, says: a line for each restore point."""
    line = f"{volume}: {len(entry['restore_points'])} restore points, {size(entry['stored_bytes'])}"
    if entry["directory"] is None:
        line = f"{volume}: never backed up"
    elif entry["used"] is False:
        line += ", used by no workload"
    if entry["overdue"]:
        line += ", OVERDUE"
    lines = [line]
    for point in entry["restore_points"]:
        if point["chain"] is None:
            words = ["LOST"]
        else:
            words = [f"{point['kind']:<4}", f"chain {point['chain']}", size(point["stored_bytes"])]
            words += ["keep" if point["keep"] else "goes"] if point["keep"] is not None else []
            words += [", ".join(point["reasons"])] if point["reasons"] else []
            words.append(_proof(point))
        lines.append(f"  {point['name']}  {age(point['age_seconds']):>8}  {'  '.join(words)}")
    lines += [f"  {problem}" for problem in entry["problems"]]
    lines += [f"  left by a dead run: {file}" for file in entry["temporaries"]]
    return lines


def orphan(entry: t.Mapping[str, t.Any]) -> str:
    """Return the line for one orphan."""
    image = "/".join(part for part in (entry["pool"], entry["rados_namespace"], entry["image"]) if part)
    where = " in the trash" if entry["in_trash"] else ""
    what = f"{len(entry['snapshots'])} snapshots of ours" if entry["snapshots"] else entry["directory"]
    return f"orphan: {what}, image {image} (id {entry['image_id']}){where}, which no workload uses"


def _proof(point: t.Mapping[str, t.Any]) -> str:
    for key, word in (("compared", "compared with Ceph"), ("replayed", "replayed"), ("hashed", "hashed")):
        if point[key]:
            return f"{word} {point[key]}"
    return "not read again yet"
