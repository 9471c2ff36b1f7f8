# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run ansible-test with the arguments given, where only a package index is within reach.

``--where-installed 3.9 ARGUMENTS...`` does nothing, and says so, on a machine without that Python.

ansible-test makes its virtual environments with a get-pip script from a host of its own, and hands no ``PIP_*``
variable on. So it runs with a home directory in the user's cache that holds a stand-in for that script and pip's
configuration as one file. Real Python interpreters take the place of pyenv's shims, which need the real home.
"""

from __future__ import annotations

import ast
import configparser
import os
import pathlib
import re
import shutil
import subprocess
import sys

import ansible_test

GET_PIP = '''\
"""Installs pip from the wheel beside this file."""

import glob
import os
import sys

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, glob.glob(os.path.join(here, "pip-{version}-*.whl"))[0])

from pip._internal.cli.main import main

words = [word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel")]
sys.exit(main(["install", "--find-links", here] + words))
'''


def pip(*words: str) -> str:
    """Run this interpreter's pip and return what it prints."""
    command = [sys.executable, "-m", "pip", *words]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def wanted_pip() -> str:
    """Read which pip this ansible-test installs."""
    source = pathlib.Path(ansible_test.__file__).parent / "_internal" / "python_requirements.py"
    found = re.search(r"pip='([0-9.]+)'", source.read_text(encoding="utf-8"))
    if not found:
        sys.exit(
            f"{source} does not say which pip it installs: ansible-test has become another one than this expects."
        )
    return found.group(1)


def put_get_pip(home: pathlib.Path) -> None:
    """Put the stand-in and its wheel where ansible-test looks for a downloaded get-pip."""
    version = wanted_pip()
    cache = home / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    if not list(cache.glob(f"pip-{version}-*.whl")):
        pip("download", "-qq", "--no-deps", "--dest", str(cache), f"pip=={version}")
    script = cache / f"get_pip_{version.replace('.', '_')}.py"
    script.write_text(GET_PIP.format(version=version), encoding="utf-8")


def put_pip_configuration(home: pathlib.Path) -> None:
    """Write pip's configuration, environment included, as the one file that ansible-test's pip reads."""
    config = configparser.RawConfigParser()
    config["global"] = {}
    for line in pip("config", "list").splitlines():
        key, _equals, value = line.partition("=")
        section, _dot, option = key.partition(".")
        section = "global" if section == ":env:" else section
        if not config.has_section(section):
            config.add_section(section)
        config[section][option] = ast.literal_eval(value)
    target = home / ".config" / "pip" / "pip.conf"
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target, "w", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        config.write(file)


def interpreters() -> list[str]:
    """List the directories of pyenv's real interpreters."""
    root = pathlib.Path(os.environ.get("PYENV_ROOT") or pathlib.Path.home() / ".pyenv")
    return [str(path) for path in sorted(root.glob("versions/3.*/bin"))]


def main() -> None:
    """Prepare the home directory and become ansible-test."""
    arguments = sys.argv[1:]
    venv = os.path.dirname(sys.executable)
    path = [venv, *interpreters(), *(word for word in os.get_exec_path() if "/shims" not in word)]
    environment = {**os.environ, "PATH": os.pathsep.join(path)}
    if arguments[0] == "--where-installed":
        if not shutil.which(f"python{arguments[1]}", path=environment["PATH"]):
            print(f"Python {arguments[1]} is not installed: not run.")
            return
        arguments = arguments[2:]
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    home = cache / "rbd-backup-gfs" / "ansible-test-home"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    put_pip_configuration(home)
    put_get_pip(home)
    environment["HOME"] = str(home)
    os.execve(os.path.join(venv, "ansible-test"), ["ansible-test", *arguments], environment)


if __name__ == "__main__":
    main()
