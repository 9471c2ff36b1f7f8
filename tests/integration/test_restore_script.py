# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""scripts/restore.py and restores into raw files, of archives of the lab's Ceph."""

from __future__ import annotations

import ctypes
import os
import pathlib
import socket
import subprocess
import sys

import pytest

from ansible_collections.rbd_backup.gfs.tests.integration import history
from ansible_collections.rbd_backup.gfs.tests.integration.history import name
from ansible_collections.rbd_backup.gfs.tests.integration.images import MIB, Images
from ansible_collections.rbd_backup.gfs.tests.integration.modules import Modules
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils import mounts

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "restore.py"


def test_the_stream_of_the_script_makes_an_image_of_it(modules: Modules, images: Images) -> None:
    spec = images.create(history.SIZE)
    history.age(images, spec, range(2))
    images.change(spec, ("resize", history.SIZE + MIB + 512))
    history.age(images, spec, [2])
    modules.backup([spec])
    command = (
        'python3 -I "$1" restore "$2" --point "$3" --stdout --format diff | '
        'rbd --id backup import-diff --no-progress - "$4"'
    )
    for number in range(3):
        target = images.create(4 * MIB)
        words = (str(SCRIPT), str(history.volume_directory(modules)), name(number), str(target))
        subprocess.run(["bash", "-euo", "pipefail", "-c", command, "-", *words], check=True)
        assert images.read(target) == images.read(spec, name(number))
        assert history.snapshots(images, target) == []
        assert images.allocated(target) <= images.allocated(spec)


def cut_off() -> None:
    """Take this process away from every network, that of the lab's Ceph and Kubernetes too, and from all programs."""
    assert ctypes.CDLL(None).unshare(0x40000000) == 0  # CLONE_NEWNET
    os.environ["PATH"] = "/nonexistent"
    with pytest.raises(OSError, match="unreachable"):
        socket.create_connection(("127.0.0.1", 3300))


def test_raw_files_need_neither_ceph_nor_kubernetes_nor_their_programs(
    modules: Modules, images: Images, tmp_path: pathlib.Path
) -> None:
    spec = history.backed_up(images, modules, 3)
    directory = str(history.volume_directory(modules))

    def restore() -> None:
        for number in range(3):
            raw = str(tmp_path / f"module-{number}")
            result = modules.restore_to({"raw": raw}, claim="data-0", restore_point=name(number))
            assert result.get("raw") == raw, result
            command = [sys.executable, "-I", str(SCRIPT), "restore", directory, "--point", name(number)]
            subprocess.run([*command, "--raw", str(tmp_path / f"script-{number}")], check=True)

    assert not modules.run_and_die(restore, cut_off)
    for number in range(3):
        for way in ("module", "script"):
            raw = tmp_path / f"{way}-{number}"
            assert raw.read_bytes() == images.read(spec, name(number))
            assert raw.stat().st_blocks * 512 <= images.allocated(spec, name(number))


def test_the_script_reads_from_a_read_only_mount_and_says_that_nothing_protects_it(
    modules: Modules, images: Images, tmp_path: pathlib.Path
) -> None:
    spec = history.backed_up(images, modules, 1)
    command = [sys.executable, "-I", str(SCRIPT), "restore", str(history.volume_directory(modules)), "--raw"]
    with mounts.read_only(modules.root):
        done = subprocess.run([*command, str(tmp_path / "x.raw")], check=True, stderr=subprocess.PIPE)
    assert b"is read without a lock, because the file system is read-only" in done.stderr
    assert (tmp_path / "x.raw").read_bytes() == images.read(spec, name(0))
