# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fake API server: answers what a test tells it, for faults that a real one cannot be asked for."""

from __future__ import annotations

import contextlib
import dataclasses
import http.server
import json
import threading
import typing as t
from urllib.parse import parse_qsl, urlsplit

from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.client import Cluster, connect

TOKEN = "kept-to-ourselves-0815"


@dataclasses.dataclass
class Asked:
    """A request that came."""

    path: str
    query: dict[str, str]
    headers: t.Mapping[str, str]


@dataclasses.dataclass
class Answer:
    """What is answered: an object is sent as JSON, bytes as they are, None closes the connection without a word."""

    body: t.Any = None
    status: int = 200
    headers: dict[str, str] = dataclasses.field(default_factory=dict)


Server = t.TypeVar("Server", bound="ScriptedApi")


class ScriptedApi:
    """Answers with ``script(asked)``; ``asked`` holds all requests in order."""

    def __init__(self, script: t.Callable[[Asked], Answer]) -> None:
        self.asked: list[Asked] = []
        self.script = script
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                asked = Asked(
                    parts.path, dict(parse_qsl(parts.query)), {k.lower(): v for k, v in self.headers.items()}
                )
                api.asked.append(asked)
                answer = api.script(asked)
                if answer.body is None:
                    return
                body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
                self.send_response(answer.status)
                for name, value in {"Content-Length": str(len(body)), **answer.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_args: t.Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    @contextlib.contextmanager
    def running(self: Server) -> t.Iterator[Server]:
        """Serve."""
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()

    def cluster(self, **settings: t.Any) -> Cluster:
        """Return a Cluster that asks this server."""
        return connect({"host": self.url, "api_key": TOKEN}, **settings)


def status(code: int, message: str) -> Answer:
    """Return the answer with which an API server refuses something."""
    return Answer({"kind": "Status", "status": "Failure", "message": message, "code": code}, code)


def list_of(*items: t.Any, **metadata: t.Any) -> Answer:
    """Return a page of a list."""
    return Answer({"kind": "PodList", "apiVersion": "v1", "metadata": metadata, "items": list(items)})
