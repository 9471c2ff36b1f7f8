# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a module of the collection in this process, and prints its result and what was used: the most memory, and the
processor time of the module and of the commands that it ran."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import pathlib
import re
import resource
import sys

from ansible.module_utils.testing import patch_module_args


def main() -> None:
    """Take the module's name as argument and its options as JSON on standard input."""
    module = importlib.import_module(f"ansible_collections.rbd_backup.gfs.plugins.modules.{sys.argv[1]}")
    said = io.StringIO()
    with patch_module_args(json.load(sys.stdin)), contextlib.redirect_stdout(said):
        with contextlib.suppress(SystemExit):
            module.main()
    # Not getrusage(): what that calls the maximum may be that of the process that started this one.
    peak = re.search(r"VmHWM:\s+(\d+) kB", pathlib.Path("/proc/self/status").read_text())
    own, commands = (
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )
    print(json.dumps([json.loads(said.getvalue()), int(peak.group(1)) * 1024 if peak else 0, own, commands]))


main()
