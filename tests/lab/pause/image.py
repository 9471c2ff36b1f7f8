#!/usr/bin/env python3
# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the only container image of the lab: ``image.py PAUSE_PROGRAM OUT.tar``.

The image holds the pause program and the links of a merged-usr system, so that one read-only mount of the
machine's /usr makes a container in which its shell, Python and Ceph's programs run. Written in the archive
format of ``docker save``, which ``ctr images import`` reads.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import sys
import tarfile

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
NAME = "docker.io/rbd-lab/pause:1"
ETC = {
    "etc/passwd": b"root:x:0:0:root:/root:/bin/bash\n",
    "etc/group": b"root:x:0:\n",
    "etc/nsswitch.conf": b"passwd: files\ngroup: files\nhosts: files dns\n",
}
DIRECTORIES = ("etc", "etc/ceph", "proc", "root", "sys", "tmp", "usr", "var", "var/lib", "var/tmp")


def add(
    archive: tarfile.TarFile, name: str, content: bytes | None = None, mode: int = 0o755, link: str = ""
) -> None:
    """Add a file, a link or, when neither is given, a directory, always with the same owner and time."""
    entry = tarfile.TarInfo(name)
    entry.mode = mode
    if link:
        entry.type, entry.linkname = tarfile.SYMTYPE, link
    elif content is None:
        entry.type = tarfile.DIRTYPE
    else:
        entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content or b""))


def layer(pause: bytes) -> bytes:
    """Return the image's one layer."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in DIRECTORIES:
            add(archive, name, mode=0o1777 if name.endswith("tmp") else 0o755)
        for name in ("bin", "lib", "lib64", "sbin"):
            add(archive, name, link="usr/" + name)
        for name, content in ETC.items():
            add(archive, name, content, mode=0o644)
        add(archive, "pause", pause)
    return buffer.getvalue()


def main(program: str, out: str) -> None:
    """Write the image of the pause *program* to *out*."""
    with open(program, "rb") as file:
        content = layer(file.read())
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    config = json.dumps(
        {
            "os": "linux",
            "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
            "config": {"Entrypoint": ["/pause"], "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [digest]},
        }
    ).encode()
    config_name = hashlib.sha256(config).hexdigest() + ".json"
    manifest = json.dumps([{"Config": config_name, "RepoTags": [NAME], "Layers": ["layer.tar"]}]).encode()
    with tarfile.open(out, "w") as archive:
        add(archive, config_name, config, mode=0o644)
        add(archive, "manifest.json", manifest, mode=0o644)
        add(archive, "layer.tar", content, mode=0o644)


if __name__ == "__main__":
    main(*sys.argv[1:])
