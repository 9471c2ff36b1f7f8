# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's API server under another URL, which writes down what it is asked."""

from __future__ import annotations

import contextlib
import http.server
import threading
import typing as t

import urllib3


class CountingProxy:
    """Hands every GET on with its Authorization header; ``asked`` holds the paths in order."""

    def __init__(self, host: str) -> None:
        self.asked: list[str] = []
        proxy = self
        # The certificate is checked by other tests.
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        pool = urllib3.PoolManager(cert_reqs="CERT_NONE", assert_hostname=False)

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                proxy.asked.append(self.path)
                headers = {"Authorization": self.headers["Authorization"]}
                answer = pool.request("GET", host + self.path, headers=headers, retries=False)
                self.send_response(answer.status)
                self.send_header("Content-Length", str(len(answer.data)))
                self.end_headers()
                self.wfile.write(answer.data)

            def log_message(self, *_args: t.Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    @contextlib.contextmanager
    def running(self) -> t.Iterator[CountingProxy]:
        """Serve."""
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()
