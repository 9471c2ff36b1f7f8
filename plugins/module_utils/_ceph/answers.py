# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what ``rbd`` and ``ceph`` answer as JSON. Pure; an answer with anything unexpected in it is refused whole.

An empty answer is never taken for an empty list: a listing that was cut off looks the same.
"""

from __future__ import annotations

import json
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import CephError
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import (
    ImageInfo,
    ListedImage,
    Snapshot,
)


def image_info(answer: bytes) -> ImageInfo:
    """Read ``rbd info``. Raises CephError."""
    found = _object(load(answer))
    if found.get("format", 2) != 2:
        raise CephError(
            "the image is of format 1, which has no id and cannot be backed up by this collection"
        )
    parent = found.get("parent")
    return ImageInfo(
        id=_text(found, "id"),
        size=_number(found, "size"),
        object_size=_number(found, "object_size"),
        features=tuple(_texts(found.get("features"))),
        snapshot_count=_number(found, "snapshot_count") if "snapshot_count" in found else 0,
        parent=None if parent is None else _parent(_object(parent)),
        data_pool=_text(found, "data_pool") if "data_pool" in found else None,
        stripe_unit=_number(found, "stripe_unit") if "stripe_unit" in found else None,
        stripe_count=_number(found, "stripe_count") if "stripe_count" in found else None,
        primary=_object(found.get("mirroring", {})).get("primary", True) is not False,
    )


def snapshots(answer: bytes) -> tuple[Snapshot, ...]:
    """Read ``rbd snap ls --all``: the snapshots of the user namespace, oldest (smallest id) first. Raises CephError."""
    entries = [_object(entry) for entry in _list(load(answer))]
    return _in_order(
        [_snapshot(entry) for entry in entries if _text(_object(entry.get("namespace")), "type") == "user"]
    )


def listed_images(answer: bytes) -> dict[str, ListedImage]:
    """Read ``rbd ls --long``: the images of a pool or RADOS namespace by name, those of format 1 left out.

    An image whose two parts (itself and its snapshots) do not fit together makes the answer unusable. Raises CephError.
    """
    images: dict[str, tuple[str, int]] = {}
    snapshots: dict[str, list[Snapshot]] = {}
    for entry in map(_object, _list(load(answer))):
        name = _text(entry, "image")
        if _number(entry, "format") != 2:
            continue
        image_id = _text(entry, "id")
        if "snapshot" not in entry:
            if name in images:
                raise CephError("the list of images holds a name twice")
            images[name] = (image_id, _number(entry, "size"))
            snapshots[name] = []
        elif name not in images or images[name][0] != image_id:
            raise CephError("the list of images holds a snapshot of an image that is not in it")
        else:
            snapshots[name].append(_snapshot(entry, "snapshot_id", "snapshot"))
    return {
        name: ListedImage(image_id, size, _in_order(snapshots[name]))
        for name, (image_id, size) in images.items()
    }


def image_names(answer: bytes) -> frozenset[str]:
    """Read ``rbd ls``. Raises CephError."""
    return frozenset(_texts(load(answer)))


def trash(answer: bytes) -> dict[str, str]:
    """Read ``rbd trash ls``: the former names of the images in the trash by id. Raises CephError."""
    entries = [_object(entry) for entry in _list(load(answer))]
    return {_text(entry, "id"): _text(entry, "name") for entry in entries}


def has_children(answer: bytes) -> bool:
    """Read ``rbd children``. Raises CephError."""
    return bool(_list(load(answer)))


def cluster(answer: bytes) -> tuple[str, dict[str, int]]:
    """Read ``ceph osd dump``: the cluster's fsid, and the id of every pool by its name. Raises CephError."""
    found = _object(load(answer))
    pools = [_object(entry) for entry in _list(found.get("pools"))]
    return _text(found, "fsid"), {_text(pool, "pool_name"): _number(pool, "pool") for pool in pools}


def watchers(answer: bytes) -> int:
    """Read ``rbd status`` and count the clients that have the image open. Raises CephError."""
    return len([_object(entry) for entry in _list(_object(load(answer)).get("watchers"))])


def used_bytes(answer: bytes) -> dict[int, int]:
    """Read ``rbd du`` of one image: what each snapshot added, by its id; and under the id after the last one what a
    snapshot would add that is taken now. Raises CephError."""
    entries = [_object(entry) for entry in _list(_object(load(answer)).get("images"))]
    used = {
        _number(entry, "snapshot_id"): _number(entry, "used_size") for entry in entries if "snapshot" in entry
    }
    now = [_number(entry, "used_size") for entry in entries if "snapshot" not in entry]
    if now:
        used[max(used, default=0) + 1] = now[0]
    return used


def trimming_pgs(answer: bytes) -> int:
    """Read ``ceph status`` and count the placement groups that trim snapshots or wait to. Raises CephError."""
    states = _list(_object(_object(load(answer)).get("pgmap")).get("pgs_by_state"))
    return sum(
        _number(state, "count")
        for state in map(_object, states)
        if {"snaptrim", "snaptrim_wait"} & set(_text(state, "state_name").split("+"))
    )


def metadata(answer: bytes) -> dict[str, str]:
    """Read ``rbd image-meta list`` of an image that has metadata. Raises CephError."""
    found = _object(load(answer))
    return {key: _text(found, key, empty=True) for key in found}


def rados_namespaces(answer: bytes) -> tuple[str, ...]:
    """Read ``rbd namespace ls``. Raises CephError."""
    return tuple(_text(_object(entry), "name") for entry in _list(load(answer)))


def load(answer: bytes) -> t.Any:
    """Parse JSON. Raises CephError, which shows nothing of the answer: it may hold a key."""
    if not answer.strip():
        raise CephError("the answer is empty where JSON was asked for, so that nothing is known")
    try:
        return json.loads(answer.decode("utf-8"))
    except ValueError as error:
        raise CephError(f"the answer is not JSON: {error}") from None


def _in_order(found: list[Snapshot]) -> tuple[Snapshot, ...]:
    if len({entry.id for entry in found}) < len(found) or len({entry.name for entry in found}) < len(found):
        raise CephError("the list of snapshots holds an id or a name twice")
    return tuple(sorted(found, key=lambda snapshot: snapshot.id))


def _snapshot(entry: dict[str, t.Any], number: str = "id", name: str = "name") -> Snapshot:
    protected = entry.get("protected")
    if not isinstance(protected, bool) and protected not in ("true", "false"):
        raise CephError(f"the answer says {protected!r} where it should say whether a snapshot is protected")
    return Snapshot(
        id=_number(entry, number),
        name=_text(entry, name),
        size=_number(entry, "size"),
        protected=protected in (True, "true"),
    )


def _parent(parent: dict[str, t.Any]) -> str:
    place = [
        _text(parent, "pool"),
        _text(parent, "pool_namespace", empty=True) if "pool_namespace" in parent else "",
    ]
    image = _text(parent, "image")
    return "/".join([part for part in place if part] + [f"{image}@{_text(parent, 'snapshot')}"])


def _object(value: t.Any) -> dict[str, t.Any]:
    if not isinstance(value, dict):
        raise CephError(f"the answer holds a {type(value).__name__} where an object belongs")
    return value


def _list(value: t.Any) -> list[t.Any]:
    if not isinstance(value, list):
        raise CephError(f"the answer holds a {type(value).__name__} where a list belongs")
    return value


def _texts(value: t.Any) -> list[str]:
    texts = _list(value)
    if not all(isinstance(text, str) for text in texts):
        raise CephError("the answer holds something else in a list of words")
    return texts


def _text(found: dict[str, t.Any], key: str, empty: bool = False) -> str:
    value = found.get(key)
    if not isinstance(value, str) or not (value or empty):
        raise CephError(f"the answer lacks {key!r}")
    return value


def _number(found: dict[str, t.Any], key: str) -> int:
    value = found.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise CephError(f"the answer lacks {key!r}")
    return value
