# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens a WebSocket to the API server from a configuration of the ``kubernetes`` library.

The library's own factory (``kubernetes.stream.ws_client.create_websocket``) knows no time-out: an API server that
accepts the connection and says nothing would hold a run for ever. This is that factory with one.
"""

from __future__ import annotations

import socket
import ssl
import typing as t
from urllib.parse import urlparse

try:
    import websocket as _websocket  # a dependency of the kubernetes library
except ImportError:
    pass  # the Cluster has said it before anything here is called


class Refused(Exception):
    """The API server answered the handshake with an HTTP status other than 101."""

    def __init__(self, status: int, body: bytes | None) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


class NoConnection(Exception):
    """There was no connection, no TLS or no answer."""


def connect(
    configuration: t.Any, url: str, headers: t.Iterable[tuple[str, str]], protocol: str, timeout: float
) -> t.Any:
    """Return a connected ``websocket.WebSocket`` that speaks *protocol*. Raises Refused or NoConnection."""
    stream = _websocket.WebSocket(
        sslopt=_tls(configuration),
        # An exec that is silent for minutes (rbd on a large sparse image) must survive firewalls that forget it.
        sockopt=[(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        enable_multithread=True,
        skip_utf8_validation=True,
    )
    secure = urlparse(url).scheme == "https"
    try:
        stream.connect(
            ("wss" if secure else "ws") + url[url.index(":") :],
            header=[f"{name}: {value}" for name, value in headers],
            subprotocols=[protocol],
            timeout=timeout,
            # The token goes nowhere but to the host that was named.
            redirect_limit=0,
            **_proxy(configuration),
        )
    except _websocket.WebSocketBadStatusException as err:
        raise Refused(err.status_code, getattr(err, "resp_body", None)) from None
    except _websocket.WebSocketTimeoutException:
        raise NoConnection(f"no answer within {timeout:g} s") from None
    except (_websocket.WebSocketException, OSError) as err:
        raise NoConnection(str(err) or type(err).__name__) from None
    status = stream.getstatus()
    if status != 101:
        stream.shutdown()
        raise Refused(status or 0, None)
    if stream.getsubprotocol() != protocol:
        stream.shutdown()
        raise NoConnection(f"the server does not speak {protocol}")
    return stream


def _tls(configuration: t.Any) -> dict[str, t.Any]:
    options: dict[str, t.Any] = {"cert_reqs": ssl.CERT_NONE}
    if configuration.verify_ssl:
        options["cert_reqs"] = ssl.CERT_REQUIRED
        if configuration.ssl_ca_cert:
            options["ca_certs"] = configuration.ssl_ca_cert
        if configuration.assert_hostname is not None:
            options["check_hostname"] = configuration.assert_hostname
    if configuration.cert_file:
        options["certfile"] = configuration.cert_file
    if configuration.key_file:
        options["keyfile"] = configuration.key_file
    # Not there before release 28 of the library.
    server_name = getattr(configuration, "tls_server_name", None)
    if server_name:
        options["server_hostname"] = server_name
    return options


def _proxy(configuration: t.Any) -> dict[str, t.Any]:
    if not configuration.proxy:
        return {}
    proxy = urlparse(configuration.proxy)
    options: dict[str, t.Any] = {"http_proxy_host": proxy.hostname, "http_proxy_port": proxy.port or 80}
    if proxy.scheme.startswith("socks"):
        options["proxy_type"] = proxy.scheme
    if proxy.username:
        options["http_proxy_auth"] = (proxy.username, proxy.password or "")
    if configuration.no_proxy:
        options["http_no_proxy"] = [
            name.strip() for name in configuration.no_proxy.split(",") if name.strip()
        ]
    return options
