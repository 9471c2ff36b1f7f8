# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""scripts/restore.py: a restore with nothing but Python."""

from __future__ import annotations

import os
import pathlib
import random
import shutil
import subprocess
import sys

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.readers import living_readers
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._actions.backup_of_contents import (
    MIB,
    BackupOfContents,
    image_digest,
)
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._actions.restoring import (
    FIRST,
    SCRIPT,
    SECOND,
    content,
    script,
)
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._archive import (
    archive_samples as samples,
)


@pytest.mark.parametrize("compression", ["zstd", "gzip", "none"])
def test_the_script_needs_nothing_but_python(
    backup: BackupOfContents, tmp_path: pathlib.Path, only_zstd: str, compression: str
) -> None:
    contents = [content(1), content(2, 6 * MIB)]
    directory = backup.add("data", contents, compression)
    listed = script("list", backup.root, python=["-S"], path=only_zstd).stdout.decode()
    assert f"{SECOND}  {6 * MIB} bytes, from 2 archive(s)" in listed
    for number, (python, path) in enumerate(((["-S"], only_zstd), ([], "/nonexistent"))):
        raw = tmp_path / f"{number}.raw"
        done = script("restore", directory, "--raw", raw, python=python, path=path)
        assert done.returncode == 0, done.stderr
        assert raw.read_bytes() == contents[1]
        assert os.stat(raw).st_blocks * 512 <= 256 * 1024
    done = script("restore", directory, "--stdout", "--point", FIRST, python=["-S"], path=only_zstd)
    assert done.stdout == contents[0]
    assert image_digest(contents[0]).encode() in done.stderr


def test_the_script_runs_from_an_installed_collection_and_without_the_set(
    backup: BackupOfContents, tmp_path: pathlib.Path, only_zstd: str
) -> None:
    directory = backup.add("data", [content(1)])
    alone = tmp_path / "alone"
    shutil.copytree(directory, alone)
    copy = tmp_path / "elsewhere" / "gfs"
    for part in ("plugins/module_utils", "scripts"):
        shutil.copytree(SCRIPT.parents[1] / part, copy / part)
    command = [
        sys.executable,
        "-I",
        "-S",
        str(copy / "scripts" / "restore.py"),
        "restore",
        str(alone),
        "--stdout",
    ]
    done = subprocess.run(command, env={"PATH": only_zstd}, check=True, capture_output=True)
    assert done.stdout == content(1)


def test_the_script_refuses_a_damaged_chain_before_the_first_byte(
    backup: BackupOfContents, tmp_path: pathlib.Path, only_zstd: str
) -> None:
    # at the very end of what cannot be compressed, when most of it would be out already
    directory = backup.add("data", [content(1), random.Random(1).randbytes(2 * MIB)])
    samples.flip(directory / f"{SECOND}.from-{FIRST}.diff.zst", -200)
    for python, path in ((["-S"], only_zstd), ([], "/nonexistent")):
        done = script("restore", directory, "--stdout", python=python, path=path)
        assert done.returncode == 1
        assert done.stdout == b""
        assert b"damaged" in done.stderr
        assert b"Traceback" not in done.stderr
    assert script("restore", directory, "--point", FIRST, "--raw", tmp_path / "x.raw").returncode == 0


def test_the_script_says_what_it_cannot_do(backup: BackupOfContents, tmp_path: pathlib.Path) -> None:
    backup.add("data-0", [content(1)])
    backup.add("data-1", [content(1)])
    (tmp_path / "x.raw").write_bytes(b"mine")
    several = script("restore", backup.root, "--raw", tmp_path / "y.raw")
    assert b"holds 2 volumes" in several.stderr
    exists = script("restore", backup.root / "lab/shop/data-0", "--raw", tmp_path / "x.raw")
    assert b"never overwrites" in exists.stderr
    assert (tmp_path / "x.raw").read_bytes() == b"mine"
    library = script("restore", backup.root / "lab/shop/data-0", "--stdout", python=["-S"])
    assert b"zstandard" in library.stderr
    assert {several.returncode, exists.returncode, library.returncode} == {1}
    assert script("restore", backup.root).returncode == 2


def test_the_script_lists_all_that_it_can_and_what_it_cannot(backup: BackupOfContents) -> None:
    damaged = backup.add("data-0", [content(1)])
    (damaged / "volume.json").write_text("{", encoding="ascii")
    directory = backup.add("data-1", [content(1), content(2)])
    (directory / f"{SECOND}.from-{FIRST}.diff.zst").unlink()
    backup.add("data-2", [content(1)])
    (backup.add("data-3", [content(1)]) / "volume.json").unlink()
    done = script("list", backup.root)
    said = done.stdout.decode()
    assert done.returncode == 1
    assert "volume.json is damaged" in said
    assert "volume.json: No such file" in said
    assert f"{FIRST}  {4 * MIB} bytes" in said
    assert f"{SECOND}  cannot be restored:" in said
    assert "is missing, its manifest is there" in said
    assert "shop/data-2" in said
    assert done.stderr == b""
    whole = script("list", backup.root / "lab/shop/data-2")
    assert (whole.returncode, whole.stderr) == (0, b"")


def test_the_script_needs_no_record_of_the_set(backup: BackupOfContents) -> None:
    directory = backup.add("data", [content(1)])
    (backup.root / "lab" / "backup-set.json").write_text("{", encoding="ascii")
    assert script("restore", directory, "--stdout").stdout == content(1)


@pytest.mark.parametrize("form", ["raw", "diff"])
def test_an_output_that_is_full_is_no_traceback(backup: BackupOfContents, form: str) -> None:
    directory = backup.add("data", [content(1)])
    command = [sys.executable, "-I", str(SCRIPT), "restore", str(directory), "--stdout", "--format", form]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, check=False, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert b"No space left on device" in done.stderr
    assert b"Traceback" not in done.stderr
    assert b"Exception" not in done.stderr


def test_the_streams_reader_that_goes_away_is_no_traceback(
    backup: BackupOfContents, tmp_path: pathlib.Path, only_zstd: str
) -> None:
    directory = backup.add("data", [content(1)])
    command = (
        f"'{sys.executable}' -I '{SCRIPT}' restore '{directory}' --stdout | head -c 10 >'{tmp_path}/out'"
    )
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        env={"PATH": "/usr/bin:/bin"},
        check=False,
        capture_output=True,
    )
    assert done.returncode == 1
    assert b"ended before its end" in done.stderr
    assert b"Traceback" not in done.stderr


def test_while_the_script_reads_nothing_is_removed(backup: BackupOfContents) -> None:
    directory = backup.add("data", [content(1)])
    command = [sys.executable, "-I", str(SCRIPT), "restore", str(directory), "--stdout"]
    with subprocess.Popen(command, bufsize=0, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        first = process.stdout.read(1)  # and now it waits for somebody to read the rest
        assert [lease.pid for lease in living_readers(str(directory))] == [process.pid]
        rest, said = process.communicate()
    assert first + rest == content(1)
    assert b"without a lock" not in said
    assert living_readers(str(directory)) == []
