# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore on the day on which Ansible is not there: ``python3 scripts/restore.py --help``.

Runs from a checkout, an unpacked release or an installed collection, wherever that lies.
"""

from __future__ import annotations

import pathlib
import sys
import types

_COLLECTION = pathlib.Path(__file__).resolve().parent.parent


def _make_importable() -> None:
    """Let the collection's modules import each other by their full names without Ansible's import system."""
    name = ""
    for part in ("ansible_collections", "rbd_backup", "gfs"):
        name = f"{name}.{part}" if name else part
        package = types.ModuleType(name)
        package.__path__ = []
        sys.modules[name] = package
    package.__path__ = [str(_COLLECTION)]


if __name__ == "__main__":
    _make_importable()
    from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.standalone import main

    sys.exit(main(sys.argv[1:]))
