# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a Ceph command failed, in words: exit codes, what the command said, and what it means that it said it."""

from __future__ import annotations

import re

from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import CephError, NotFound

_PROGRESS = re.compile(r"\r?[A-Z][A-Za-z ]*: \d+% complete\.\.\.(?:done\.|failed\.)?")
_LONGEST = 1200
_BETWEEN_LINES = " / "
# How the way through a pod fails when the pod or the connection to it goes, and comes back.
_PASSING = ("lost", "no_pod", "server", "unreachable", "timeout")
_LATE = "late"

# "(2) No such file or directory" alone proves nothing: a missing keyring ends with exit code 2 and these words too.
_MISSING = re.compile(
    r"^(?:rbd: |error setting snapshot context: ).*?(?:\(2\) No such file or directory|does not exist)",
    re.MULTILINE,
)
# In the words of rbd, and of ceph in its older and newer releases.
_NOT_CONNECTED = re.compile(r"couldn't connect to the cluster|RADOS timed out|^timed out$", re.MULTILINE)
_NOT_REACHED = re.compile(rf"{_NOT_CONNECTED.pattern}|unable to find a keyring", re.MULTILINE)


def words(stderr: str) -> str:
    """Return what a command said, without its progress display, cut to its last 1200 characters."""
    lines = [line.strip() for line in _PROGRESS.sub("\n", stderr).splitlines()]
    return _BETWEEN_LINES.join(line for line in lines if line)[-_LONGEST:]


def ended(program: str, rc: int, stderr: str) -> CephError:
    """Return the error of a command that ended with exit code *rc* (negative: by that signal).

    It is NotFound when Ceph was reached and said that the image, snapshot, pool or RADOS namespace does not exist.
    """
    how = f"was killed by signal {-rc}" if rc < 0 else f"ended with exit code {rc}"
    missing = rc == 2 and not _NOT_REACHED.search(stderr) and _MISSING.search(_PROGRESS.sub("\n", stderr))
    kind = NotFound if missing else CephError
    advice = " Are the monitors reachable?" if _NOT_CONNECTED.search(stderr) else ""
    return kind(f"{program} {how}: {words(stderr) or 'without a word'}{advice}", rc=rc, stderr=words(stderr))


def stalled(program: str, seconds: float, stderr: str) -> CephError:
    """Return the error of a stream that stood still."""
    return CephError(
        f"{program} stood still for {seconds:g} s and was ended. Is Ceph healthy ('ceph -s')?{_said(stderr)}",
        stderr=words(stderr),
        kind=_LATE,
    )


def late(program: str, seconds: float, stderr: str) -> CephError:
    """Return the error of a command that did not end in time."""
    return CephError(
        f"{program} did not end within {seconds:g} s and was ended; whether it took effect is unknown. Are the "
        f"monitors reachable?{_said(stderr)}",
        stderr=words(stderr),
        kind=_LATE,
    )


def broke(error: Exception) -> bool:
    """Whether a stream was lost on its way, so that another attempt may bring it: the connection was cut, what came
    was not what was sent, the command was killed, or its pod is just being replaced. Never when Ceph refused, or did
    not answer in time."""
    if not isinstance(error, CephError):
        return False
    details = error.details
    killed = isinstance(details.get("rc"), int) and details["rc"] < 0
    return killed or bool(details.get("broken")) or details.get("kind") in _PASSING


def is_unanswered(error: CephError) -> bool:
    """Whether Ceph, or the pod on the way to it, gave no answer: the next question may take as long as this one."""
    kind, said = error.details.get("kind"), str(error.details.get("stderr", "")).replace(_BETWEEN_LINES, "\n")
    return kind in (_LATE, "unreachable", "timeout") or bool(_NOT_CONNECTED.search(said))


def _said(stderr: str) -> str:
    return f" It said: {words(stderr)}" if words(stderr) else ""
