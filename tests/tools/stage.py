# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copy what git would commit to .../ansible_collections/rbd_backup/gfs and print that path.

Ansible finds a collection by its path only, and ansible-test refuses a symbolic link. Each checkout has a stage of
its own in the user's cache directory. Files of equal time and size are not copied again; what the checkout lost goes.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "rbd-backup-gfs"
# Written in the stage by the checks themselves.
KEPT = ("tests/output", ".ansible", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis")


def sources() -> set[str]:
    """Name the files that are tracked by git, or new and not ignored."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split("\0")
    return {name for name in listed if name and os.path.lexists(ROOT / name)}


def copy(name: str, stage: pathlib.Path) -> None:
    """Bring one file of the stage up to date."""
    source, target = ROOT / name, stage / name
    if target.exists():
        ours, theirs = (
            (file.st_mtime_ns, file.st_size, file.st_mode) for file in (source.stat(), target.stat())
        )
        if ours == theirs:
            return
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)


def drop_the_rest(names: set[str], stage: pathlib.Path) -> None:
    """Remove files that the checkout does not have, and directories left empty."""
    for folder, _folders, files in os.walk(stage, topdown=False):
        relative = pathlib.Path(folder).relative_to(stage)
        if any(relative.is_relative_to(kept) for kept in KEPT):
            continue
        for file in files:
            if (relative / file).as_posix() not in names:
                os.unlink(os.path.join(folder, file))
        if not os.listdir(folder):
            os.rmdir(folder)


def main() -> None:
    """Make the stage equal to the checkout."""
    key = hashlib.sha256(os.fsencode(ROOT)).hexdigest()[:12]
    stage = CACHE / f"stage-{key}" / "ansible_collections" / "rbd_backup" / "gfs"
    stage.mkdir(parents=True, exist_ok=True)
    with open(CACHE / f"stage-{key}" / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        names = sources()
        for name in sorted(names):
            copy(name, stage)
        drop_the_rest(names, stage)
    print(stage)


if __name__ == "__main__":
    main()
