# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples name only what exists, and schedules mean the times that the documentation says."""

from __future__ import annotations

import datetime as dt
import pathlib
import re
import typing as t
import zoneinfo

import pytest
import yaml
from dateutil import rrule

ROOT = pathlib.Path(__file__).resolve().parents[2]
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
PLAYBOOKS = {path.stem for path in (ROOT / "playbooks").glob("*.yml")}
INVENTORY = sorted((ROOT / "examples" / "inventory").glob("*_vars/*.yml"))


def options_of(role: str) -> dict[str, t.Any]:
    """Return the documented options of a role."""
    text = (ROOT / "roles" / role / "meta" / "argument_specs.yml").read_text(encoding="utf-8")
    options: dict[str, t.Any] = yaml.safe_load(text)["argument_specs"]["main"]["options"]
    return options


@pytest.mark.parametrize("path", INVENTORY, ids=lambda path: path.stem)
def test_the_inventory_sets_only_variables_that_a_role_takes(path: pathlib.Path) -> None:
    taken = {name for role in (ROOT / "roles").glob("*/defaults/main.yml") for name in _names(role)}
    taken |= set(options_of("rbd_backup"))
    assert {
        name for name in yaml.safe_load(path.read_text(encoding="utf-8")) if not name.startswith("ansible_")
    } <= taken


def _names(path: pathlib.Path) -> set[str]:
    return set(re.findall(r"\brbd_\w+", path.read_text(encoding="utf-8")))


def test_the_awx_project_imports_every_playbook() -> None:
    imported = {}
    for path in (ROOT / "examples" / "awx-project").glob("*.yml"):
        (entry,) = yaml.safe_load(path.read_text(encoding="utf-8"))
        imported[path.stem] = entry["import_playbook"]
    assert imported == {name: f"rbd_backup.gfs.{name}" for name in PLAYBOOKS}


def test_the_systemd_units_run_playbooks_and_start_units_that_exist() -> None:
    folder = ROOT / "examples" / "systemd"
    for unit in folder.iterdir():
        text = unit.read_text(encoding="utf-8")
        assert set(re.findall(r"rbd_backup\.gfs\.(\w+)", text)) <= PLAYBOOKS
        for started in re.findall(r"^On(?:Success|Failure)=(.*)$", text, re.MULTILINE):
            assert (folder / started).is_file()
        assert unit.suffix == ".service" or unit.with_suffix(".service").is_file()


def test_the_rules_for_awx_mean_the_local_times_of_the_table() -> None:
    text = (ROOT / "docs" / "scheduling.md").read_text(encoding="utf-8")
    rules = re.findall(r"[`'](DTSTART\S+) (RRULE:[^`']+)[`']", text)
    assert len(rules) == 6
    meant = set()
    for start, rule in rules:
        # Over the change to summer time: the local hour stays.
        times = rrule.rrulestr(f"{start}\n{rule}").between(
            dt.datetime(2026, 3, 23, tzinfo=BERLIN), dt.datetime(2026, 4, 6, tzinfo=BERLIN)
        )
        meant.add((len(times), tuple(sorted({f"{time:%H:%M}" for time in times}))))
        if "WEEKLY" in rule:
            assert {f"{time:%A}" for time in times} == {"Monday"}
    assert meant == {(14, ("17:00",)), (14, ("05:00",)), (14, ("08:00",)), (2, ("02:00",))}
