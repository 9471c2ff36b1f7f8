# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets a checkout under any name be imported as the collection."""

from __future__ import annotations

import importlib
import pathlib
import sys
import types

ROOT = pathlib.Path(__file__).resolve().parent.parent
COLLECTION = "ansible_collections.rbd_backup.gfs"


def _map_checkout() -> None:
    try:
        importlib.import_module(COLLECTION)
    except ImportError:  # not inside ansible-test, which brings import machinery of its own
        for name, paths in (
            ("ansible_collections", []),
            ("ansible_collections.rbd_backup", []),
            (COLLECTION, [str(ROOT)]),
        ):
            module = types.ModuleType(name)
            module.__path__ = paths
            sys.modules[name] = module


_map_checkout()
