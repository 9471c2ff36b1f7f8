# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dependencies point downwards only: every import of the plugins is read and compared with the drawing."""

from __future__ import annotations

import ast
import pathlib
import sys

import pytest

PLUGINS = pathlib.Path(__file__).resolve().parents[2] / "plugins"
UTILS = "ansible_collections.rbd_backup.gfs.plugins.module_utils."

# What a room may import of the collection, besides itself. _errors is below everything.
ROOMS: dict[str, set[str]] = {
    "_errors": set(),
    "_version": set(),
    "_names": {"_errors"},
    "_model": {"_errors"},
    "_file_system": set(),
    "_diffstream": {"_errors"},
    "_retention": {"_errors", "_names", "_model"},
    "_plan": {"_errors", "_names", "_model", "_retention"},
    "_archive": {"_errors", "_names", "_model", "_diffstream"},
    "_kubernetes": {"_errors", "_names", "_model"},
    "_ceph": {"_errors", "_names", "_model", "_kubernetes"},
    "_actions": {
        "_errors",
        "_version",
        "_names",
        "_model",
        "_file_system",
        "_diffstream",
        "_retention",
        "_plan",
        "_archive",
        "_kubernetes",
        "_ceph",
    },
    "_argument_specs": {"_kubernetes", "_ceph"},
    "_adapter": {"_errors", "_kubernetes", "_argument_specs", "_actions"},
}
MODULES_MAY_USE = {"_adapter", "_argument_specs", "_actions"}
PURE = {"_errors", "_version", "_names", "_model", "_file_system", "_diffstream", "_retention", "_plan"}
# Ways to the outside that a pure room has no use for.
IMPURE = {"os", "pathlib", "shutil", "socket", "ssl", "subprocess", "tempfile", "threading", "time", "urllib"}
# urllib3 and websocket are what the Kubernetes client itself stands on.
THIRD_PARTY = {
    "_archive": {"zstandard"},
    "_ceph": {"zstandard"},
    "_kubernetes": {"kubernetes", "urllib3", "websocket"},
}
MAY_IMPORT_ANSIBLE = {
    "module_utils/_adapter.py": {
        "ansible.module_utils.basic.AnsibleModule",
        "ansible.module_utils.basic.missing_required_lib",
    },
    "module_utils/_kubernetes/auth_spec.py": {"ansible.module_utils.basic.env_fallback"},
}

FILES = sorted(path.relative_to(PLUGINS).as_posix() for path in PLUGINS.rglob("*.py"))
UTIL_FILES = [name for name in FILES if name.startswith("module_utils/")]
MODULE_FILES = [name for name in FILES if name.startswith("modules/")]


def imports_of(source: str) -> list[str]:
    """Name everything that *source* imports, wherever in it: ``a.b`` or ``a.b.Name``."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names]
    return found


def room_of(path: str) -> str:
    """Name the room that a file under plugins/module_utils belongs to."""
    return path.split("/")[1].removesuffix(".py")


def faults(path: str, source: str) -> list[str]:
    """List the imports that a file of this *path* under plugins must not have."""
    return [name for name in imports_of(source) if not _allowed(path, name)]


def _allowed(path: str, name: str) -> bool:
    if name.startswith(UTILS):
        target = name.removeprefix(UTILS).split(".")[0]
        if path.startswith("module_utils/"):
            return target == room_of(path) or target in ROOMS[room_of(path)]
        return path.startswith("modules/") and target in MODULES_MAY_USE
    top = name.split(".")[0]
    if top == "ansible" and path.startswith("action/"):
        return True
    if top == "ansible":
        return name in MAY_IMPORT_ANSIBLE.get(path, ())
    if not path.startswith("module_utils/"):
        return top in sys.stdlib_module_names
    if top in sys.stdlib_module_names:
        return not (room_of(path) in PURE and top in IMPURE)
    return top in THIRD_PARTY.get(room_of(path), ())


def test_every_room_is_in_the_drawing() -> None:
    assert {room_of(name) for name in UTIL_FILES} <= set(ROOMS)


def test_the_drawing_has_no_way_up() -> None:
    order = list(ROOMS)
    assert all(order.index(lower) < order.index(room) for room, below in ROOMS.items() for lower in below)


@pytest.mark.parametrize("path", FILES)
def test_imports_point_downwards(path: str) -> None:
    assert faults(path, (PLUGINS / path).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", MODULE_FILES)
def test_a_module_holds_nothing_but_its_documentation_and_one_call(path: str) -> None:
    tree = ast.parse((PLUGINS / path).read_text(encoding="utf-8"))
    defined = [node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    assert defined == ["main"]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("module_utils/_diffstream/reader.py", f"from {UTILS}_model import Volume"),
        ("module_utils/_diffstream/reader.py", "import subprocess"),
        ("module_utils/_retention.py", "import time"),
        ("module_utils/_plan/backup.py", f"from {UTILS}_ceph.rbd import RbdClient"),
        ("module_utils/_archive/codec.py", f"import {UTILS}_actions.backup"),
        ("module_utils/_archive/codec.py", "import kubernetes.client"),
        ("module_utils/_archive/codec.py", "from .names import parse"),
        ("module_utils/_ceph/rbd.py", "from ansible.module_utils.basic import AnsibleModule"),
        ("module_utils/_kubernetes/auth_spec.py", "from ansible.module_utils.basic import AnsibleModule"),
        ("module_utils/_actions/backup.py", f"def late():\n    from {UTILS}_adapter import run_module"),
        ("modules/rbd_snapshot.py", f"from {UTILS}_ceph.rbd import RbdClient"),
        ("modules/rbd_snapshot.py", "from ansible.module_utils.basic import AnsibleModule"),
        ("doc_fragments/ceph.py", f"from {UTILS}_errors import BackupError"),
    ],
)
def test_an_import_upwards_is_found(path: str, source: str) -> None:
    assert len(faults(path, source)) == 1
