# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that say how to reach Kubernetes: names and environment variables of ``kubernetes.core``.

``env_fallback`` is the one thing taken from Ansible here: a fallback of an argument spec has to be that function.
"""

from __future__ import annotations

import typing as t

from ansible.module_utils.basic import env_fallback


def _option(*variables: str, **spec: t.Any) -> dict[str, t.Any]:
    return {**spec, "fallback": (env_fallback, [f"K8S_AUTH_{variable}" for variable in variables])}


AUTH_SPEC: dict[str, dict[str, t.Any]] = {
    "kubeconfig": _option("KUBECONFIG", type="raw"),
    "context": _option("CONTEXT", type="str"),
    "host": _option("HOST", type="str"),
    "api_key": _option("API_KEY", type="str", no_log=True),
    "username": _option("USERNAME", type="str"),
    "password": _option("PASSWORD", type="str", no_log=True),
    "validate_certs": _option("VALIDATE_CERTS", "VERIFY_SSL", type="bool", aliases=["verify_ssl"]),
    "ca_cert": _option("CA_CERT", "SSL_CA_CERT", type="path", aliases=["ssl_ca_cert"]),
    "client_cert": _option("CLIENT_CERT", "CERT_FILE", type="path", aliases=["cert_file"]),
    "client_key": _option("CLIENT_KEY", "KEY_FILE", type="path", aliases=["key_file"], no_log=False),
    "proxy": _option("PROXY", type="str"),
    "no_proxy": _option("NO_PROXY", type="str"),
    "proxy_headers": {
        "type": "dict",
        # or the variables would count only where the option is given
        "apply_defaults": True,
        "options": {
            "proxy_basic_auth": _option("PROXY_HEADERS_PROXY_BASIC_AUTH", type="str", no_log=True),
            "basic_auth": _option("PROXY_HEADERS_BASIC_AUTH", type="str", no_log=True),
            "user_agent": _option("PROXY_HEADERS_USER_AGENT", type="str"),
        },
    },
    "persist_config": _option("PERSIST_CONFIG", type="bool"),
    "impersonate_user": _option("IMPERSONATE_USER", type="str"),
    "impersonate_groups": _option("IMPERSONATE_GROUPS", type="list", elements="str"),
}
