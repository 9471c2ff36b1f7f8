# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How to reach Kubernetes."""

from __future__ import annotations


class ModuleDocFragment:
    """The options and environment variables of kubernetes.core, so that a credential of AWX works unchanged."""

    DOCUMENTATION = r"""
options:
  host:
    description:
      - The URL of the API server.
      - The environment variable E(K8S_AUTH_HOST) if not given.
    type: str
  api_key:
    description:
      - The token to authenticate with. With O(host) it is enough, and no kubeconfig is read.
      - The environment variable E(K8S_AUTH_API_KEY) if not given.
    type: str
  kubeconfig:
    description:
      - Path of a kubeconfig, or its content as a dictionary.
      - The environment variable E(K8S_AUTH_KUBECONFIG) if not given.
      - Without O(kubeconfig), O(context), and O(host) with a token or a password, the ServiceAccount of the pod that
        the module runs in is used, and outside of a pod E(KUBECONFIG) or C(~/.kube/config).
      - A token that is refreshed while the module runs is not written back, unless O(persist_config) is set.
    type: raw
  context:
    description:
      - The context in the kubeconfig; its current one if not given.
      - The environment variable E(K8S_AUTH_CONTEXT) if not given.
    type: str
  username:
    description:
      - The user for HTTP Basic authentication. Kubernetes itself has none since 1.19; a proxy before it may have.
      - The environment variable E(K8S_AUTH_USERNAME) if not given.
    type: str
  password:
    description:
      - The password of O(username).
      - The environment variable E(K8S_AUTH_PASSWORD) if not given.
    type: str
  client_cert:
    description:
      - Path of a client certificate to authenticate with.
      - The environment variable E(K8S_AUTH_CLIENT_CERT) or E(K8S_AUTH_CERT_FILE) if not given.
    type: path
    aliases: [cert_file]
  client_key:
    description:
      - Path of the key of O(client_cert).
      - The environment variable E(K8S_AUTH_CLIENT_KEY) or E(K8S_AUTH_KEY_FILE) if not given.
    type: path
    aliases: [key_file]
  ca_cert:
    description:
      - Path of the certificate of the authority that the API server's certificate is checked with.
      - The environment variable E(K8S_AUTH_CA_CERT) or E(K8S_AUTH_SSL_CA_CERT) if not given.
    type: path
    aliases: [ssl_ca_cert]
  validate_certs:
    description:
      - Whether to check the API server's certificate. As the kubeconfig says, otherwise yes, if not given.
      - The environment variable E(K8S_AUTH_VALIDATE_CERTS) or E(K8S_AUTH_VERIFY_SSL) if not given.
    type: bool
    aliases: [verify_ssl]
  proxy:
    description:
      - The URL of an HTTP proxy to reach the API server through.
      - The environment variable E(K8S_AUTH_PROXY) if not given.
    type: str
  no_proxy:
    description:
      - Hosts, domains and networks, separated by commas, that are reached without O(proxy).
      - The environment variable E(K8S_AUTH_NO_PROXY) if not given.
    type: str
  proxy_headers:
    description: Headers for the proxy.
    type: dict
    suboptions:
      proxy_basic_auth:
        description:
          - User and password for HTTP Basic authentication at the proxy, separated by a colon.
          - The environment variable E(K8S_AUTH_PROXY_HEADERS_PROXY_BASIC_AUTH) if not given.
        type: str
      basic_auth:
        description:
          - User and password for an C(Authorization) header, separated by a colon.
          - The environment variable E(K8S_AUTH_PROXY_HEADERS_BASIC_AUTH) if not given.
        type: str
      user_agent:
        description:
          - What the client calls itself.
          - The environment variable E(K8S_AUTH_PROXY_HEADERS_USER_AGENT) if not given.
        type: str
  persist_config:
    description:
      - Whether a token that is refreshed while the module runs is written back to the kubeconfig.
      - The environment variable E(K8S_AUTH_PERSIST_CONFIG) if not given; otherwise it is not.
    type: bool
  impersonate_user:
    description:
      - The user to act as. The account needs the verb C(impersonate) for it.
      - The environment variable E(K8S_AUTH_IMPERSONATE_USER) if not given.
    type: str
  impersonate_groups:
    description:
      - The groups to act as, beside O(impersonate_user).
      - The environment variable E(K8S_AUTH_IMPERSONATE_GROUPS) if not given, separated by commas.
    type: list
    elements: str
requirements:
  - kubernetes >= 28.1.0 (Python library, where Kubernetes is used)
"""
