# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When two tasks ask the same server as the same account, and when they only seem to."""

from __future__ import annotations

import base64
import json
import pathlib
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.client import connect

GOOD = {"host": "https://api.example.com", "api_key": "opaque-token-one"}


def connection(**options: t.Any) -> str:
    return connect({**GOOD, **options}).connection


def jwt(**claims: str) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{body}.{claims.get('jti', 'signature')}"


def test_the_same_options_are_the_same_connection() -> None:
    assert connection() == connection(host="https://api.example.com/")
    assert len(connection()) == 64


@pytest.mark.parametrize(
    "options",
    [
        {"host": "https://other.example.com"},
        {"api_key": "opaque-token-two"},
        {"api_key": None, "username": "me", "password": "pw"},
        {"validate_certs": False},
        {"proxy": "http://proxy:3128"},
        {"impersonate_user": "jane"},
        {"impersonate_user": "jane", "impersonate_groups": ["shop"]},
    ],
)
def test_what_makes_it_another_one(options: dict[str, t.Any]) -> None:
    assert connection(**options) != connection()


def test_a_password_is_not_in_it() -> None:
    def basic(username: str, password: str) -> str:
        return connection(api_key=None, username=username, password=password)

    assert basic("me", "one") == basic("me", "two")
    assert basic("me", "one") != basic("you", "one")
    assert connection(proxy="http://me:one@proxy:3128") == connection(proxy="http://me:two@proxy:3128")


def test_a_token_that_was_renewed_is_the_same_account() -> None:
    one, two = (jwt(iss="kubernetes", sub="system:serviceaccount:a:b", jti=number) for number in "12")
    assert connection(api_key=one) == connection(api_key=two)
    other = jwt(iss="kubernetes", sub="system:serviceaccount:a:c")
    assert connection(api_key=one) != connection(api_key=other)
    nobody = (jwt(jti=number) for number in "12")
    assert connection(api_key=next(nobody)) != connection(api_key=next(nobody))
    assert connection(api_key="a.b.c") != connection(api_key="a.b.d")


def test_files_count_by_their_content(tmp_path: pathlib.Path) -> None:
    paths = [tmp_path / name for name in ("one", "same", "other")]
    for path, content in zip(paths, ("x", "x", "y")):
        path.write_text(content)
    # Not to be read as certificates: nothing is sent.
    plain = {"host": "http://api.example.com"}
    one, same, other = (connection(**plain, client_cert=str(path)) for path in paths)
    assert one == same != other
