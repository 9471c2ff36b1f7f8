# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks the Kubernetes API and gets JSON back: time-outs, bounded retries, one clear error for each way to fail.

Only the parts of the ``kubernetes`` library that have been the same in its releases 24 to 37 are used: its
configuration and its connection pool. Its models are not: resolution reads JSON, and newer releases refuse objects
that they find incomplete.
"""

from __future__ import annotations

import json
import threading
import time
import typing as t
import warnings
from urllib.parse import urlencode

from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import KubernetesError
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes import connection, websocket
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.configuration import (
    AuthOptions,
    load_configuration,
    require_library,
)

try:
    import urllib3
    from kubernetes.client.rest import RESTClientObject
    from urllib3._collections import HTTPHeaderDict  # its public name is not there before urllib3 2
except ImportError:
    pass  # connect() says it

_RETRIED = frozenset((429, 500, 502, 503, 504))
_LONGEST_PAUSE = 30.0

Query = t.Sequence[tuple[str, str]]


class Cluster:
    """One Kubernetes API server. Safe to use from several threads.

    ``requests`` counts the HTTP requests made, retries included. Errors are KubernetesError whose ``details["kind"]``
    is one of ``config``, ``unreachable`` (nothing ever answered), ``timeout``, ``tls``, ``unauthorized``,
    ``forbidden``, ``not_found``, ``exists`` (409), ``expired`` (410), ``server`` or ``answer`` (not JSON).
    """

    def __init__(
        self,
        configuration: t.Any,
        timeout: float = 30.0,
        attempts: int = 4,
        page_size: int = 500,
        sleep: t.Callable[[float], None] = time.sleep,
        headers: t.Sequence[tuple[str, str]] = (),
    ) -> None:
        """*timeout* in seconds for each request; *attempts* of a request in all; *page_size* objects a list request.

        *headers* are sent with every request.
        """
        require_library()
        self.requests = 0
        self.page_size = page_size
        self.cache: dict[str, t.Any] = {}
        self._configuration = configuration
        self._headers = headers
        self._timeout = timeout
        self._attempts = attempts
        self._sleep = sleep
        self._lock = threading.Lock()
        self._answered = False
        try:
            self._pool = RESTClientObject(configuration).pool_manager
        except (OSError, ValueError, urllib3.exceptions.HTTPError) as err:
            raise KubernetesError(
                f"The connection to {self.host} cannot be set up: {err}", kind="config"
            ) from None

    @property
    def host(self) -> str:
        """The URL of the API server."""
        return str(self._configuration.host)

    @property
    def connection(self) -> str:
        """A hash over which server is asked, and as whom; equal for what is sure to get the same answers."""
        return connection.fingerprint(self._configuration, self._authorization(), self._headers)

    def get(self, path: str, query: Query = ()) -> dict[str, t.Any]:
        """GET *path* and return the JSON object of the answer. Raises KubernetesError."""
        error = KubernetesError("never asked")
        pause = 0.5
        for attempt in range(self._attempts):
            if attempt:
                self._sleep(min(max(pause, error.details.get("retry_after", 0.0)), _LONGEST_PAUSE))
                pause *= 2
            try:
                return self._ask_once("GET", path, query)
            except KubernetesError as err:
                error = err
                if not err.details.get("retry"):
                    break
        if error.details.get("kind") == "timeout":
            # The next request that fails like this finds a server that has stopped to answer anyone.
            self._answered = False
        raise error

    def create(self, path: str, item: t.Mapping[str, t.Any], dry_run: bool = False) -> dict[str, t.Any]:
        """POST *item* to *path*, and return what the server made of it. Raises KubernetesError.

        A field that the server does not know is an error. With *dry_run* it checks everything and keeps nothing. Never
        repeated, for the first try may have had effect; ``details["kind"]`` is ``exists`` where the name is taken.
        """
        query = [("fieldValidation", "Strict"), *([("dryRun", "All")] if dry_run else [])]
        return self._ask_once("POST", path, query, json.dumps(item).encode("ascii"))

    def websocket(self, path: str, query: Query, protocol: str, timeout: float) -> t.Any:
        """Open a WebSocket on *path*; *timeout* in seconds holds for the handshake. Raises KubernetesError."""
        with self._lock:
            self.requests += 1
        url = f"{self.host}{path}?{urlencode(query)}"
        try:
            return websocket.connect(self._configuration, url, self._headers_sent(), protocol, timeout)
        except websocket.Refused as err:
            raise self._http_error("open a stream on", path, err.status, err.body, None) from None
        except websocket.NoConnection as err:
            raise KubernetesError(
                f"{self.host} gave no stream for {path}: {err}", kind="unreachable", path=path
            ) from None

    def close(self) -> None:
        """Close the kept connections."""
        self._pool.clear()

    def _authorization(self) -> str | None:
        # The key's name has changed between releases of the library; asking also renews an expired token.
        for name in ("authorization", "BearerToken"):
            value = self._configuration.get_api_key_with_prefix(name)
            if value:
                return str(value)
        return None

    def _headers_sent(self) -> list[tuple[str, str]]:
        authorization = self._authorization()
        login = [("Authorization", authorization)] if authorization else []
        return [*login, *self._headers]

    def _ask_once(self, verb: str, path: str, query: Query, body: bytes | None = None) -> dict[str, t.Any]:
        headers = HTTPHeaderDict({"Accept": "application/json", "User-Agent": "rbd_backup.gfs"})
        if body is not None:
            headers.add("Content-Type", "application/json")
        for name, value in self._headers_sent():
            headers.add(name, value)
        url = f"{self.host}{path}" + (f"?{urlencode(query)}" if query else "")
        with self._lock:
            self.requests += 1
        try:
            with warnings.catch_warnings():
                if not self._configuration.verify_ssl:
                    warnings.simplefilter("ignore", urllib3.exceptions.InsecureRequestWarning)
                response = self._pool.request(
                    verb,
                    url,
                    body=body,
                    headers=headers,
                    timeout=self._timeout,
                    retries=False,
                    redirect=False,
                )
        except (urllib3.exceptions.HTTPError, OSError) as err:
            raise self._connection_error(verb, path, err) from None
        self._answered = True
        if response.status not in (200, 201):
            raise self._http_error(
                verb, path, response.status, response.data, response.headers.get("Retry-After")
            )
        try:
            answer = json.loads(response.data)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise KubernetesError(
                f"{self.host} answered {verb} {path} with something that is not a JSON object "
                f"({len(response.data)} bytes). Is host the URL of a Kubernetes API server?",
                kind="answer",
                path=path,
                retry=True,
            )
        return answer

    def _connection_error(self, verb: str, path: str, err: Exception) -> KubernetesError:
        if isinstance(err, urllib3.exceptions.SSLError):
            return KubernetesError(
                f"TLS with {self.host} failed when asking {verb} {path}: {err}. Check ca_cert, client_cert and "
                "validate_certs.",
                kind="tls",
                path=path,
            )
        # a refused connection and an unknown name are time-outs to urllib3, by their base class
        refused = isinstance(err, urllib3.exceptions.NewConnectionError)
        slow = isinstance(err, (urllib3.exceptions.TimeoutError, TimeoutError)) and not refused
        reason = f"no answer within {self._timeout:g} s" if slow else str(err)
        return KubernetesError(
            f"Kubernetes at {self.host} could not be reached for {verb} {path}: {reason}.",
            kind="timeout" if self._answered else "unreachable",
            path=path,
            retry=True,
        )

    def _http_error(
        self, verb: str, path: str, status: int, body: bytes | None, retry_after: str | None
    ) -> KubernetesError:
        said = _message(body)
        asked = f"{verb} {path}"
        details: dict[str, t.Any] = {"status": status, "path": path}
        if retry_after and retry_after.isdigit():
            details["retry_after"] = float(retry_after)
        if status == 401:
            return KubernetesError(
                f"Kubernetes at {self.host} does not accept the credentials (401, {asked}): {said}. "
                "Check api_key or the user in the kubeconfig; a token may have expired.",
                kind="unauthorized",
                **details,
            )
        if status == 403:
            return KubernetesError(
                f"Kubernetes refuses to {asked} (403): {said}", kind="forbidden", **details
            )
        if status == 404:
            return KubernetesError(f"Kubernetes knows no {path} (404): {said}", kind="not_found", **details)
        kind = {409: "exists", 410: "expired"}.get(status, "server")
        return KubernetesError(
            f"Kubernetes at {self.host} could not {asked} ({status}): {said}",
            kind=kind,
            retry=status in _RETRIED,
            **details,
        )


def _message(body: bytes | None) -> str:
    """Return the words of an answer that is a Kubernetes Status, or the beginning of any other text."""
    text = (body or b"").decode("utf-8", "replace").strip()
    try:
        said = json.loads(text).get("message")
    except (ValueError, AttributeError):
        said = None
    return str(said or text or "without a word")[:500]


def connect(options: t.Mapping[str, t.Any], **settings: t.Any) -> Cluster:
    """Return a Cluster for *options*, named as in ``kubernetes.core``; other keys are ignored. Nothing is asked yet.

    *settings* are the keyword arguments of Cluster. Raises MissingLibrary, and KubernetesError for options that lead
    to no cluster.
    """
    auth = AuthOptions.from_mapping(options)
    return Cluster(load_configuration(auth), headers=auth.impersonation(), **settings)
