# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells whether two configurations ask the same API server as the same account, without keeping either."""

from __future__ import annotations

import base64
import hashlib
import json
import typing as t
from urllib.parse import urlsplit


def fingerprint(configuration: t.Any, authorization: str | None, headers: t.Sequence[tuple[str, str]]) -> str:
    """Return a SHA-256 over the server and the asker of a ``kubernetes.client.Configuration``.

    Files count by their content: the library writes what a kubeconfig embeds into files with names of their own. No
    password is in it, so that the hash cannot be used to guess one; a token is, being nothing that can be guessed.
    """
    proxy = urlsplit(configuration.proxy or "")
    what = [
        configuration.host,
        bool(configuration.verify_ssl),
        _content(configuration.ssl_ca_cert),
        str(getattr(configuration, "ca_cert_data", None)),
        getattr(configuration, "tls_server_name", None),
        [proxy.scheme, proxy.hostname, proxy.netloc.rpartition(":")[2] if proxy.port else None],
        configuration.no_proxy,
        _content(configuration.cert_file),
        _asker(authorization),
        headers,
    ]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()


def _content(path: str | None) -> str | None:
    if not path:
        return None
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def _asker(authorization: str | None) -> list[str]:
    kind, _blank, login = (authorization or "").partition(" ")
    if kind.lower() == "basic":
        return [kind, base64.b64decode(login).decode("utf-8", "replace").partition(":")[0]]
    claims = _claims(login)
    # Short-lived tokens of one account differ from one task to the next.
    if claims.get("iss") and claims.get("sub"):
        return [kind, str(claims["iss"]), str(claims["sub"])]
    return [kind, login]


def _claims(token: str) -> dict[str, t.Any]:
    """Return what a JSON Web Token says, unchecked; nothing for another kind of token."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return {}
    return claims if isinstance(claims, dict) else {}
