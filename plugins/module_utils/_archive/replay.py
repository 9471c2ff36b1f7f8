# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replaying chains: the image digest of every restore point on the way, with every archive read once."""

from __future__ import annotations

import contextlib
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.verify import ArchiveReader
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.digest import ImageDigest
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.merge import Merged, Stream, merge
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.records import Header, Record
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Archive

# Digests taken in one pass. Each is a merge on top of the one before it, whose depth Python limits, and which may hold
# a record of some MiB.
_AT_ONCE = 32


def replay(directory: str, chain: t.Sequence[Archive], wanted: t.Container[str]) -> dict[str, str]:
    """Read *chain* through and return the image digest at each snapshot that is *wanted*, by name.

    Every archive of the chain up to the last wanted one is proved by it, as by :func:`verify_archive`, and is read
    once, or once for every 32 that are wanted. Raises ArchiveError naming the archive.
    """
    stops = [index for index, archive in enumerate(chain) if archive.to.snapshot in wanted]
    digests: dict[str, str] = {}
    for first in range(0, len(stops), _AT_ONCE):
        digests.update(_replay(directory, chain, stops[first : first + _AT_ONCE]))
    return digests


def paths(chains: t.Iterable[tuple[Archive, ...]]) -> list[tuple[tuple[Archive, ...], set[str]]]:
    """Join *chains* that are the beginning of another one to it: each path, and the snapshots on it that are meant."""
    result: list[tuple[tuple[Archive, ...], set[str]]] = []
    for chain in sorted(chains, key=len, reverse=True):
        for path, wanted in result:
            if path[: len(chain)] == chain:
                wanted.add(chain[-1].to.snapshot)
                break
        else:
            result.append((chain, {chain[-1].to.snapshot}))
    return result


class _Tap:
    """A merged stream that is handed on, with the digest of what passed."""

    def __init__(self, merged: Merged) -> None:
        self._merged = merged
        self.digest = ImageDigest(merged.header.size)

    @property
    def header(self) -> Header:
        return self._merged.header

    def __iter__(self) -> t.Iterator[Record]:
        for record in self._merged.records:
            self.digest.update(record)
            yield record


def _replay(directory: str, chain: t.Sequence[Archive], stops: t.Sequence[int]) -> dict[str, str]:
    taps: list[_Tap] = []
    with contextlib.ExitStack() as stack:
        readers = [
            stack.enter_context(ArchiveReader(directory, archive)) for archive in chain[: stops[-1] + 1]
        ]
        begin = 0
        for stop in stops:
            below: list[Stream] = [*taps[-1:], *readers[begin : stop + 1]]
            taps.append(_Tap(merge(below)))
            begin = stop + 1
        for _record in taps[-1]:
            pass
    return {chain[stop].to.snapshot: tap.digest.hexdigest() for stop, tap in zip(stops, taps)}
