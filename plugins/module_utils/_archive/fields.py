# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Strict reading of the fields of our JSON files: a value of the wrong type is damage, never a guess."""

from __future__ import annotations

import datetime as dt
import re
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.problems import DAMAGED, REFUSED
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import ArchiveError, InvalidInput
from ansible_collections.rbd_backup.gfs.plugins.module_utils._names import parse_utc

_SHA256 = re.compile(r"[0-9a-f]{64}")


class Fields:
    """The fields of one JSON object of the file *path*. Every method raises ArchiveError (DAMAGED) naming the field.

    Fields that nobody asks for are ignored: a later version may add some without a new format.
    """

    def __init__(self, content: t.Any, path: str, within: str = "") -> None:
        self._path = path
        self._within = within
        if not isinstance(content, dict):
            raise self.error(within.rstrip("."), "an object")
        self._content = content

    def error(self, key: str, expected: str) -> ArchiveError:
        """The error for the field *key*, which should be what *expected* says."""
        return ArchiveError(
            f"{self._path} cannot be used: {self._within}{key} is missing or is not {expected}. Nothing was "
            "changed.",
            kind=DAMAGED,
            path=self._path,
        )

    def check_format(self, known: int) -> None:
        """Refuse a file of a format that this version does not know."""
        found = self.number("format")
        if found != known:
            raise ArchiveError(
                f"{self._path} has format {found}, and this version of rbd_backup.gfs knows format {known} "
                "only. Nothing was changed. Use the version that wrote it or a later one.",
                kind=REFUSED,
                path=self._path,
            )

    def __iter__(self) -> t.Iterator[str]:
        """The names of the fields."""
        return iter(self._content)

    def has(self, key: str) -> bool:
        """Whether the field is there and not null; it must be there."""
        if key not in self._content:
            raise self.error(key, "there")
        return self._content[key] is not None

    def text(self, key: str, empty: bool = False) -> str:
        """A text; an *empty* one only where allowed."""
        value = self._content.get(key)
        if not isinstance(value, str) or not (value or empty):
            raise self.error(key, "a text")
        return value

    def number(self, key: str) -> int:
        """A whole number, 0 or more."""
        value = self._content.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise self.error(key, "a whole number")
        return value

    def number_or_none(self, key: str) -> int | None:
        """A whole number or null."""
        return self.number(key) if self.has(key) else None

    def flag(self, key: str) -> bool:
        """True or false."""
        value = self._content.get(key)
        if not isinstance(value, bool):
            raise self.error(key, "true or false")
        return value

    def sha256(self, key: str) -> str:
        """64 hexadecimal digits."""
        value = self._content.get(key)
        if not isinstance(value, str) or not _SHA256.fullmatch(value):
            raise self.error(key, "a SHA-256 in hexadecimal")
        return value

    def sha256_or_none(self, key: str) -> str | None:
        """64 hexadecimal digits or null."""
        return self.sha256(key) if self.has(key) else None

    def time(self, key: str) -> dt.datetime:
        """A time in UTC."""
        try:
            return parse_utc(self.text(key))
        except InvalidInput:
            raise self.error(key, "a time in UTC") from None

    def part(self, key: str) -> Fields:
        """An object."""
        return Fields(self._content.get(key), self._path, f"{self._within}{key}.")

    def part_or_none(self, key: str) -> Fields | None:
        """An object or null."""
        return self.part(key) if self.has(key) else None

    def parts(self, key: str) -> list[Fields]:
        """A list of objects."""
        value = self._content.get(key)
        if not isinstance(value, list):
            raise self.error(key, "a list")
        return [
            Fields(item, self._path, f"{self._within}{key}[{index}].") for index, item in enumerate(value)
        ]

    def mapping(self, key: str) -> dict[str, t.Any]:
        """An object, as it is."""
        value = self._content.get(key)
        if not isinstance(value, dict):
            raise self.error(key, "an object")
        return value
