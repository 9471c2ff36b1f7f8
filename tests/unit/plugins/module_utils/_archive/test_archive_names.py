# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of files: what is written is read back, and nothing else is taken for ours."""

from __future__ import annotations

import datetime as dt
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive import names
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import InvalidInput
from ansible_collections.rbd_backup.gfs.plugins.module_utils._names import snapshot_name

A, B = "gfs-20261123T170000Z", "gfs-20261124T170000Z"
PREFIXES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}", fullmatch=True)
TIMES = st.datetimes(dt.datetime(1000, 1, 1), dt.datetime(9999, 12, 31), timezones=st.just(dt.timezone.utc))
COMPRESSIONS = st.sampled_from(sorted(names.SUFFIXES))


def test_the_names_of_the_documentation() -> None:
    assert names.archive_name(A, None, "zstd") == "gfs-20261123T170000Z.full.zst"
    assert names.archive_name(B, A, "gzip") == "gfs-20261124T170000Z.from-gfs-20261123T170000Z.diff.gz"
    assert names.archive_name(B, A, "none") == "gfs-20261124T170000Z.from-gfs-20261123T170000Z.diff"
    assert names.manifest_name("x.full.zst") == "x.full.zst.json"


@given(PREFIXES, TIMES, st.none() | TIMES, COMPRESSIONS)
def test_a_name_is_read_back(
    prefix: str, to: dt.datetime, base: dt.datetime | None, compression: str
) -> None:
    to_name = snapshot_name(prefix, to)
    base_name = snapshot_name(prefix, base) if base else None
    if to_name == base_name:
        with pytest.raises(InvalidInput):
            names.archive_name(to_name, base_name, compression)
        return
    file = names.archive_name(to_name, base_name, compression)
    assert names.parse_archive_name(prefix, file) == (to_name, base_name, compression)
    assert names.compression_of(file) == compression
    assert names.parse_archive_name(prefix + "x", file) is None
    assert names.archive_of_manifest(names.manifest_name(file)) == file
    assert names.archive_of_removal(names.removal_name(file)) == file
    for other in (names.manifest_name(file), names.removal_name(file), names.bad_name(file, to)):
        assert names.parse_archive_name(prefix, other) is None


@pytest.mark.parametrize(
    "file",
    [
        "",
        f"{A}.full.zst.json",
        f"{A}.full.zst.bad-20261123T170000Z",
        f"{A}.full.xz",
        f"{A}.full.zst ",
        f"{A}.full.zst\n",
        f"{A}.full.ZST",
        f"{A}.diff.zst",
        f"{A}.from-{A}.diff.zst",
        f"{A}.from-{B}.full.zst",
        f"{A}.from-.diff.zst",
        f"../{A}.full.zst",
        f".tmp-12-0123456789abcdef-{A}.full.zst",
        "gfs-20261323T170000Z.full.zst",
        "gfs-20261123T250000Z.full.zst",
        f"{A}.from-gfs-20260230T170000Z.diff.zst",
        "other-20261123T170000Z.full.zst",
        f"{A}.from-other-20261123T170000Z.diff.zst",
        "gfs-2026112３T170000Z.full.zst",  # a digit, but not an ASCII one  # noqa: RUF001
    ],
)
def test_what_is_not_an_archive(file: str) -> None:
    assert names.parse_archive_name("gfs", file) is None


@pytest.mark.parametrize(
    ("to", "base", "compression"),
    [(A, A, "zstd"), ("../x", None, "zstd"), (A, "csi-snap-1", "zstd"), (A, None, "xz"), ("", None, "none")],
)
def test_no_such_archive(to: str, base: str | None, compression: str) -> None:
    with pytest.raises(InvalidInput):
        names.archive_name(to, base, compression)


def test_temporaries() -> None:
    temporary = names.temporary_name("volume.json", 4711, "0123456789abcdef")
    assert names.is_temporary(temporary)
    assert temporary.startswith(".")
    assert not names.is_temporary("volume.json")
    assert not names.is_temporary(".tmp-volume.json")
    assert not names.is_temporary(".tmp-1-0123456789abcdef-")


def test_superseded_names() -> None:
    time = dt.datetime(2026, 11, 24, 13, tzinfo=dt.timezone(dt.timedelta(hours=1)))
    assert names.bad_name("a.json", time) == "a.json.bad-20261124T120000Z"
    assert names.bad_name("a.json", time, 2) == "a.json.bad-20261124T120000Z-2"
    assert names.name_before_bad("a.json.bad-20261124T120000Z-2") == "a.json"
    assert names.name_before_bad("a.json.bad-") is None
    assert names.name_before_bad("a.json") is None


@given(st.text(), st.text())
def test_a_component_stays_one_and_tells_names_apart(first: str, second: str) -> None:
    component = names.component(first)
    assert os.path.normpath(os.path.join("/set", component)) == f"/set/{component}"
    assert component[0] not in ".-"
    assert component.isascii()
    assert component.isprintable()
    assert len(component) <= 120
    if first != second and "" not in (first, second):
        assert component != names.component(second)


@pytest.mark.parametrize(
    ("name", "component"),
    [
        ("data-db-0", "data-db-0"),
        ("my.claim", "my.claim"),
        ("..", "%2E."),
        (".", "%2E"),
        ("", "_"),
        ("-rf", "%2Drf"),
        ("a/b", "a%2Fb"),
        ("a%2Fb", "a%252Fb"),
        ("lost+found", "lost%2Bfound"),
        ("ü\n\0", "%C3%BC%0A%00"),
        ("\udc80", "%ED%B2%80"),
    ],
)
def test_components(name: str, component: str) -> None:
    assert names.component(name) == component


def test_long_names_stay_different() -> None:
    assert names.component("x" * 300 + "a") != names.component("x" * 300 + "b")
