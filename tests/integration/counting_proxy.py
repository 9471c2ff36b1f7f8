# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's API server under another URL, which writes down what it is asked."""

from __future__ import annotations

from urllib.parse import urlencode

import urllib3

from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._kubernetes.scripted_api import (
    Answer,
    Asked,
    ScriptedApi,
)


class CountingProxy(ScriptedApi):
    """Hands every GET on with its Authorization header; ``asked`` holds all requests in order."""

    def __init__(self, host: str) -> None:
        # The certificate is checked by other tests.
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        pool = urllib3.PoolManager(cert_reqs="CERT_NONE", assert_hostname=False)

        def hand_on(asked: Asked) -> Answer:
            url = f"{host}{asked.path}?{urlencode(asked.query)}"
            headers = {"Authorization": asked.headers["authorization"]}
            answer = pool.request("GET", url, headers=headers, retries=False)
            return Answer(answer.data, answer.status)

        super().__init__(hand_on)

    def lists(self) -> int:
        """How many lists were begun, however many pages each has."""
        return sum("continue" not in asked.query for asked in self.asked)
