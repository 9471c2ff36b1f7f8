# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work on many volumes at once: the failure of one never stops the others, and never looks like success."""

from __future__ import annotations

import concurrent.futures
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import BackupError, InvalidInput
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Volume

Result = t.TypeVar("Result")


def check_parallel(options: t.Mapping[str, t.Any]) -> int:
    """Return the option ``parallel``, or raise InvalidInput."""
    parallel: int = options["parallel"]
    if parallel < 1:
        raise InvalidInput(f"parallel is {parallel}: it must be at least 1. Nothing was touched.")
    return parallel


def failure(volume: Volume, error: Exception) -> dict[str, t.Any]:
    """Describe the failure of one volume for the result."""
    return {
        "namespace": volume.namespace,
        "claim": volume.claim,
        "image": str(volume.spec),
        "message": describe(error),
    }


def writing_failure(volume: Volume, error: Exception) -> dict[str, t.Any]:
    """The same for who writes archives: ``missing_bytes`` is the room that is lacking, None where that was not it."""
    details = error.details if isinstance(error, BackupError) else {}
    return {**failure(volume, error), "missing_bytes": details.get("missing_bytes")}


def for_each_volume(
    volumes: t.Sequence[Volume],
    work: t.Callable[[Volume], Result],
    parallel: int,
    tell: t.Callable[[Volume, Exception], dict[str, t.Any]] = failure,
) -> tuple[list[Result], list[dict[str, t.Any]]]:
    """Call *work* on every volume, at most *parallel* at a time.

    Returns the results in the order of *volumes*, and what *tell* makes of it for each volume whose work raised.
    """
    results: list[Result] = []
    failures: list[dict[str, t.Any]] = []
    with concurrent.futures.ThreadPoolExecutor(max_workers=parallel) as pool:
        futures = [(volume, pool.submit(work, volume)) for volume in volumes]
        for volume, future in futures:
            try:
                results.append(future.result())
            except Exception as error:  # the others must go on, whatever it was
                failures.append(tell(volume, error))
    return results, failures


def describe(error: Exception) -> str:
    """Put an error into words; one that nobody foresaw says so."""
    if isinstance(error, BackupError):
        return error.message
    return (
        f"Unforeseen error, please report it as a defect of rbd_backup.gfs: {type(error).__name__}: {error}"
    )
