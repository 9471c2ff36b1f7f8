# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How often a command is started in a pod that cannot be reached just now. Fault injection: what the API server refuses
is made up here; a kubelet that is really restarted is in tests/integration/test_disrupted_lab.py."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph import pod
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import CephError, KubernetesError
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.pods import PodRef

NO_NODE = KubernetesError("could not open a stream (500): error dialing backend", kind="server")
FORBIDDEN = KubernetesError("refuses (403)", kind="forbidden")


class Refusals:
    """Stands for the API server: it refuses with ``errors``, one for each attempt, and then gives a stream."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.errors: list[KubernetesError] = []
        self.pauses: list[float] = []
        found = PodRef(name="toolbox", containers=("ceph",), uid="1")
        monkeypatch.setattr(pod, "find_pod", lambda *_: found)
        monkeypatch.setattr(pod, "open_exec", lambda *_, **__: self._open())
        monkeypatch.setattr(pod.time, "sleep", self.pauses.append)
        self.runner = pod.PodRunner(lambda: t.cast(t.Any, None), "rook-ceph", "app=toolbox")

    def _open(self) -> str:
        if self.errors:
            raise self.errors.pop(0)
        return "stream"

    def start(self, *errors: KubernetesError) -> t.Any:
        """Start a command while these errors are answered first; the pauses are those of this start alone."""
        self.errors[:] = errors
        self.pauses.clear()
        return self.runner._open(["rbd"])


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Refusals:
    return Refusals(monkeypatch)


def test_a_node_that_comes_back_is_waited_for(api: Refusals) -> None:
    assert api.start(NO_NODE, NO_NODE) == "stream"
    assert api.pauses == list(pod.PAUSES[:2])


def test_who_waited_in_vain_waits_no_more_until_a_command_was_started(api: Refusals) -> None:
    for waits in (len(pod.PAUSES), 0):
        with pytest.raises(CephError, match="error dialing backend"):
            api.start(*[NO_NODE] * 20)
        assert len(api.pauses) == waits
    api.start()
    assert api.start(NO_NODE) == "stream"


def test_a_refusal_that_stays_is_not_waited_for(api: Refusals) -> None:
    with pytest.raises(CephError, match="the verb list on pods"):
        api.start(FORBIDDEN)
    assert api.pauses == []
    assert api.start(NO_NODE) == "stream", "and costs no patience"
