# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Benji, another tool that backs up RBD images, installed where this machine can get it."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec

VERSION = "0.17.0"
_CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "rbd-backup-gfs"
# What Benji asks for, but for its ruamel.yaml of 2017, which does not build on a Python of today.
_NEEDS = (
    "PrettyTable<1",
    "sqlalchemy>=1.4.14,<2",
    "setproctitle<2",
    "python-dateutil<3",
    "alembic<2",
    "ruamel.yaml<0.18",
    "psycopg2-binary<3",
    "argcomplete<2",
    "sparsebitfield<1",
    "cerberus<2",
    "pycryptodome<4",
    "pyparsing<3",
    "semantic_version<3",
    "dateparser<2",
    "structlog",
    "colorama<1",
    "diskcache",
    "attrs<22",
    "zstandard",
)


class Benji:
    """Benji with a database and a storage of its own in *directory*."""

    def __init__(self, program: pathlib.Path, directory: pathlib.Path) -> None:
        self._program = program
        self._directory = directory / "benji"
        self._directory.mkdir()
        self._configuration = directory / "benji.yaml"
        # Compressed and hashed as ours are; what it does by default otherwise.
        self._configuration.write_text(
            json.dumps(
                {
                    "configurationVersion": "1",
                    "databaseEngine": f"sqlite:///{self._directory / 'benji.sqlite'}",
                    "logFile": str(directory / "benji.log"),
                    "defaultStorage": "files",
                    "storages": [
                        {
                            "name": "files",
                            "storageId": 1,
                            "module": "file",
                            "configuration": {"path": str(self._directory), "activeTransforms": ["zstd"]},
                        }
                    ],
                    "transforms": [{"name": "zstd", "module": "zstd", "configuration": {"level": 3}}],
                    "ios": [
                        {
                            "name": "rbd",
                            "module": "rbd",
                            "configuration": {
                                "cephConfigFile": os.environ["CEPH_CONF"],
                                "clientIdentifier": os.environ["RBD_LAB_CEPH_USER"],
                            },
                        }
                    ],
                }
            )
        )

    def forget(self) -> None:
        """Empty its database and its storage, so that it has everything to do again."""
        shutil.rmtree(self._directory)
        self._directory.mkdir()
        self._run("database-init")

    def backup(self, specs: t.Sequence[ImageSpec], snapshot: str) -> None:
        """Back the images up, one after the other, as its own script does."""
        for spec in specs:
            self._run("backup", "--uid", spec.image, f"rbd:{spec}@{snapshot}", spec.image)

    def restore(self, specs: t.Sequence[ImageSpec], targets: t.Sequence[ImageSpec]) -> None:
        """Restore what was backed up into new images, one after the other."""
        for spec, target in zip(specs, targets):
            self._run("restore", "--sparse", spec.image, f"rbd:{target}")

    def _run(self, *words: str) -> None:
        command = [self._program, "--config-file", self._configuration, "--log-level", "ERROR"]
        done = subprocess.run([*command, *words], check=False, capture_output=True)
        if done.returncode:
            raise RuntimeError(f"benji {' '.join(words)}: {done.stderr.decode()}")


def prepare(directory: pathlib.Path) -> tuple[Benji | None, str]:
    """Return Benji, installed into the user's cache if need be, or None and why it cannot be had."""
    venv = _CACHE / f"benji-{VERSION}"
    program = venv / "bin" / "benji"
    try:
        if not (venv / "complete").exists():
            # rados and rbd are modules of the distribution's Python
            _quietly("/usr/bin/python3", "-m", "venv", "--clear", "--system-site-packages", str(venv))
            pip = (str(venv / "bin" / "pip"), "install", "-q")
            _quietly(*pip, "wheel", "setuptools<70")
            _quietly(*pip, *_NEEDS)
            _quietly(*pip, "--no-deps", f"benji=={VERSION}")
            (venv / "complete").touch()
        return Benji(program, directory), ""
    except (RuntimeError, OSError) as error:
        return None, str(error)


def _quietly(*command: str) -> None:
    print(f"  {' '.join(command)}", file=sys.stderr)
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        reason = [line for line in done.stderr.splitlines() if "error" in line.lower()]
        raise RuntimeError(reason[0].strip() if reason else f"{command[0]} ended with {done.returncode}")
