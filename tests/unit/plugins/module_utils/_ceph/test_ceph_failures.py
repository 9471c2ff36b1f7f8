# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a command failed: its words, and whether they say that something does not exist. Samples are of Ceph 16.2,
save the one that says otherwise."""

from __future__ import annotations

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph import failures
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import (
    ArchiveError,
    CephError,
    NotFound,
)

NO_KEYRING = (
    "2026-11-23T07:40:33.870+0000 7fab0801f380 -1 auth: unable to find a keyring on /x: (2) No such file or directory\n"
    "rbd: couldn't connect to the cluster!\n"
)


@pytest.mark.parametrize(
    "stderr",
    [
        "rbd: error opening image nope: (2) No such file or directory\n",
        "rbd: error opening pool 'nopool': (2) No such file or directory\n",
        "rbd: namespace 'nons' does not exist.\n",
        "rbd: failed to remove snapshot: (2) No such file or directory\n",
        "\rRemoving snap: 0% complete...failed.\nrbd: failed to remove snapshot: (2) No such file or directory\n",
        "error setting snapshot context: (2) No such file or directory\n",
        "\rExporting image: 0% complete...failed.\nrbd: export-diff error: (2) No such file or directory\n",
    ],
)
def test_ceph_says_that_it_does_not_exist(stderr: str) -> None:
    assert isinstance(failures.ended("rbd", 2, stderr), NotFound)


@pytest.mark.parametrize(
    ("rc", "stderr"),
    [
        (2, NO_KEYRING),
        (2, "rbd: made-up words: (2) No such file or directory\nrbd: couldn't connect to the cluster!\n"),
        (2, "rbd: made-up words: (2) No such file or directory\ntimed out\n"),
        (2, ""),
        (2, "python3: can't open file 'x': [Errno 2] No such file or directory\n"),
        (1, "global_init: unable to open config file from search list /nonexistent\n"),
        (110, "rbd: couldn't connect to the cluster!\n"),
        (-9, "rbd: error opening image nope: (2) No such file or directory\n"),
        (17, "rbd: failed to create snapshot: (17) File exists\n"),
    ],
)
def test_what_was_not_reached_is_not_missing(rc: int, stderr: str) -> None:
    assert not isinstance(failures.ended("rbd", rc, stderr), NotFound)


@pytest.mark.parametrize(
    ("stderr", "unanswered"),
    [
        ("rbd: couldn't connect to the cluster!\n", True),
        ("timed out\n", True),
        ("warning: line 3: ignored\ntimed out\n", True),
        ("[errno 110] RADOS timed out (error connecting to the cluster)\n", True),
        ("[errno 13] RADOS permission denied (error connecting to the cluster)\n", False),
        ("rbd: error opening image timed out: (1) Operation not permitted\n", False),
    ],
)
def test_monitors_that_do_not_answer_are_named(stderr: str, unanswered: bool) -> None:
    error = failures.ended("ceph", 1, stderr)
    assert error.message.endswith("Are the monitors reachable?") is unanswered
    assert failures.is_unanswered(error) is unanswered


def test_the_words_of_the_command_without_its_progress() -> None:
    stderr = (
        "\rRemoving image: 1% complete...\rRemoving image: 2% complete...failed.\n"
        "rbd: image has watchers - not removing\n"
    )
    error = failures.ended("rbd", 16, stderr)
    assert error.message == "rbd ended with exit code 16: rbd: image has watchers - not removing"
    assert error.details == {"rc": 16, "stderr": "rbd: image has watchers - not removing"}


def test_a_signal_is_called_a_signal() -> None:
    assert failures.ended("rbd", -9, "").message == "rbd was killed by signal 9: without a word"


def test_long_words_keep_their_end() -> None:
    said = failures.words("x" * 5000 + "\nthe reason\n")
    assert said.endswith("the reason")
    assert len(said) == 1200


@pytest.mark.parametrize(
    ("error", "passing"),
    [
        (failures.ended("rbd", -9, ""), True),
        (CephError("cut", kind="lost"), True),
        (CephError("replaced", kind="no_pod"), True),
        (CephError("damaged on its way", broken=True), True),
        (failures.ended("rbd", 1, "rbd: error opening image x: (1) Operation not permitted"), False),
        (failures.ended("rbd", 2, "rbd: error opening image x: (2) No such file or directory"), False),
        (failures.stalled("rbd", 600, ""), False),
        (failures.late("rbd", 60, ""), False),
        (CephError("refused", kind="forbidden"), False),
        (ArchiveError("full", kind="unwritable", errno="ENOSPC"), False),
        (OSError(28, "full"), False),
    ],
)
def test_only_what_was_lost_on_its_way_is_worth_another_attempt(error: Exception, passing: bool) -> None:
    assert failures.broke(error) is passing
