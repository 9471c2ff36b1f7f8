# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said in two places is said alike: version, action group, roles and their shared variables."""

from __future__ import annotations

import pathlib
import re
import typing as t

import pytest
import yaml

from ansible_collections.rbd_backup.gfs.plugins.module_utils._version import VERSION

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODULES = sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("*.py"))
PLAYBOOKS = sorted(path.stem for path in (ROOT / "playbooks").glob("*.yml"))
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.name != "rbd_common")


def read(path: str) -> t.Any:
    """Parse a YAML file of the collection."""
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def test_the_version_is_that_of_galaxy_yml() -> None:
    assert read("galaxy.yml")["version"] == VERSION


def test_the_oldest_versions_that_are_promised_are_those_that_are_tried() -> None:
    tried = (ROOT / "tests" / "requirements-oldest.txt").read_text(encoding="utf-8")
    promised = (ROOT / "meta" / "ee-requirements.txt").read_text(encoding="utf-8")
    core = read("meta/runtime.yml")["requires_ansible"].removeprefix(">=")
    assert f"ansible-core~={core}\n" in tried
    for library in ("kubernetes", "zstandard"):
        (version,) = re.findall(rf"^{library}>=(.+)$", promised, re.MULTILINE)
        assert f"{library}=={version}\n" in tried


def test_the_action_group_holds_every_module() -> None:
    assert read("meta/runtime.yml")["action_groups"]["gfs"] == MODULES


def test_every_role_has_its_playbook() -> None:
    assert [f"rbd_{name}" for name in PLAYBOOKS] == ROLES


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_a_playbook_runs_its_role_by_full_name(playbook: str) -> None:
    (play,) = read(f"playbooks/{playbook}.yml")
    assert [role["role"] for role in play["roles"]] == [f"rbd_backup.gfs.rbd_{playbook}"]
    assert play["gather_facts"] is False


@pytest.mark.parametrize("role", ROLES)
def test_the_defaults_of_a_role_are_its_documented_options(role: str) -> None:
    options = read(f"roles/{role}/meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    required = {name for name, option in options.items() if option.get("required")}
    defaults = read(f"roles/{role}/defaults/main.yml")
    assert set(defaults) == set(options) - required
    for name, option in options.items():
        if "default" in option:
            assert option["default"] == defaults[name], name


@pytest.mark.parametrize("role", ROLES)
def test_the_readme_of_a_role_names_every_option(role: str) -> None:
    options = read(f"roles/{role}/meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    named = set(
        re.findall(r"`(rbd_[a-z_]+)`", (ROOT / "roles" / role / "README.md").read_text(encoding="utf-8"))
    )
    assert set(options) - named == set()
