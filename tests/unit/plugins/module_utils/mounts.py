# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mounts for the time of a test."""

from __future__ import annotations

import contextlib
import os
import pathlib
import subprocess
import typing as t

import pytest


@contextlib.contextmanager
def memory(directory: pathlib.Path, size: str) -> t.Iterator[pathlib.Path]:
    """A file system of *size* in memory, mounted on *directory*, which is made where it is not there."""
    if os.geteuid():
        pytest.fail("This test mounts a small file system: run it as root.")
    directory.mkdir(exist_ok=True)
    options = f"size={size},mode=0700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(directory)], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", str(directory)], check=True)


def resize(directory: pathlib.Path, size: str) -> None:
    """Give the file system in memory another size."""
    subprocess.run(["mount", "-o", f"remount,size={size}", str(directory)], check=True)


@contextlib.contextmanager
def read_only(directory: pathlib.Path) -> t.Iterator[None]:
    """*directory* as a read-only mount of itself."""
    subprocess.run(["mount", "--bind", str(directory), str(directory)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(directory)], check=True)
        yield
    finally:
        subprocess.run(["umount", str(directory)], check=True)


@contextlib.contextmanager
def loop(file: pathlib.Path, directory: pathlib.Path) -> t.Iterator[None]:
    """The file system in *file*, mounted on *directory*."""
    subprocess.run(["mount", "-o", "loop", str(file), str(directory)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(directory)], check=True)


@contextlib.contextmanager
def frozen(directory: pathlib.Path) -> t.Iterator[None]:
    """The file system of *directory* with everything written out and all writes held back."""
    subprocess.run(["fsfreeze", "--freeze", str(directory)], check=True)
    try:
        yield
    finally:
        subprocess.run(["fsfreeze", "--unfreeze", str(directory)], check=True)
