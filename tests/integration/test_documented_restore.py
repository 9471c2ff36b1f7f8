# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the documentation prints for the day on which everything else is lost, run as it is printed."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess

import pytest

from ansible_collections.rbd_backup.gfs.tests.integration import history
from ansible_collections.rbd_backup.gfs.tests.integration.conftest import Lab
from ansible_collections.rbd_backup.gfs.tests.integration.history import name
from ansible_collections.rbd_backup.gfs.tests.integration.images import Images
from ansible_collections.rbd_backup.gfs.tests.integration.modules import Modules
from ansible_collections.rbd_backup.gfs.tests.integration.namespaces import LABEL, Namespace

ROOT = pathlib.Path(__file__).parents[2]


def section(file: str, begin: str, end: str) -> str:
    """The part of a page from one line to another."""
    text = (ROOT / file).read_text(encoding="utf-8")
    start = text.index(begin)
    return text[start : text.index(end, start)]


def commands(text: str) -> list[str]:
    """The commands in the console blocks of a text."""
    blocks = re.findall(r"^ *```console\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    return [
        line.strip()[2:] for block in blocks for line in block.splitlines() if line.strip().startswith("$ ")
    ]


@pytest.mark.parametrize(
    ("file", "begin", "end"),
    [
        ("docs/backup-directory.md", "## Restore by hand", "Use `zcat`"),
        ("README.md", "Without this collection", "Through the toolbox pod"),
    ],
)
def test_a_chain_is_restored_by_the_commands_as_they_are_printed(
    modules: Modules, images: Images, file: str, begin: str, end: str
) -> None:
    lines = commands(section(file, begin, end))
    assert len(lines) >= 4
    points = sorted({point for line in lines for point in re.findall(r"gfs-\d{8}T\d{6}Z", line)})
    spec = history.backed_up(images, modules, len(points))
    target = images.name()
    script = "\n".join(lines).replace("replicapool/restored", str(target))
    for number, point in enumerate(points):
        script = script.replace(point, name(number))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        check=False,
        capture_output=True,
        text=True,
        cwd=history.volume_directory(modules),
        env={**os.environ, "CEPH_ARGS": "--id backup"},
    )
    assert done.returncode == 0, done.stderr
    assert history.snapshots(images, target) == []
    assert images.read(target) == images.read(spec, name(len(points) - 1))


def test_the_manifests_that_are_printed_bind_a_claim_to_an_image(namespace: Namespace, lab: Lab) -> None:
    page = section("docs/restore.md", "## When everything is lost", "## Drill")
    (block,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    for word, real in {"shop": namespace.name, "restored-data-db-0": f"{namespace.name}-restored"}.items():
        block = re.sub(rf"(?<=: ){word}\b", real, block)
    namespace.kubectl("apply", "--validate=true", "-f", "-", stdin=block)
    namespace.kubectl("label", "pv", f"{namespace.name}-restored", f"{LABEL}={namespace.name}")
    namespace.wait_for_claims("data-db-0")
