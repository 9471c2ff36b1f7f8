# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the options of ``kubernetes.core`` to a configuration of the ``kubernetes`` library.

Same order as ``kubernetes.core``: a host with a token or a password is enough; else the kubeconfig or context that was
named; else the ServiceAccount of the pod that this runs in; else the default kubeconfig. What is given beside it
overrides single values.
"""

from __future__ import annotations

import dataclasses
import os
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import KubernetesError, MissingLibrary
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.kubeconfig import is_text

try:
    from kubernetes import client as _client
    from kubernetes import config as _config
    from urllib3.util import make_headers as _make_headers

    _IMPORT_ERROR: ImportError | None = None
except ImportError as err:
    _IMPORT_ERROR = err


@dataclasses.dataclass(frozen=True)
class AuthOptions:
    """How to reach Kubernetes, named as in ``kubernetes.core``. Its text form holds no secret."""

    kubeconfig: t.Any = dataclasses.field(default=None, repr=False)
    context: str | None = None
    host: str | None = None
    api_key: str | None = dataclasses.field(default=None, repr=False)
    username: str | None = None
    password: str | None = dataclasses.field(default=None, repr=False)
    validate_certs: bool | None = None
    ca_cert: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    proxy: str | None = dataclasses.field(default=None, repr=False)
    no_proxy: str | None = None
    proxy_headers: t.Mapping[str, str | None] | None = dataclasses.field(default=None, repr=False)
    persist_config: bool | None = None
    impersonate_user: str | None = None
    impersonate_groups: t.Sequence[str] | None = None

    @classmethod
    def from_mapping(cls, options: t.Mapping[str, t.Any]) -> AuthOptions:
        """Take the options up that are of this kind; an empty text counts as not given."""
        names = (field.name for field in dataclasses.fields(cls))
        return cls(**{name: None if options.get(name) == "" else options.get(name) for name in names})

    def impersonation(self) -> list[tuple[str, str]]:
        """Return the headers that ask the API server to act as somebody else. Raises KubernetesError."""
        groups = [group.strip() for group in self.impersonate_groups or () if group.strip()]
        if groups and not self.impersonate_user:
            raise KubernetesError(
                "impersonate_groups is given without impersonate_user, which Kubernetes does not know. Nothing was "
                "asked.",
                kind="config",
            )
        headers = [("Impersonate-User", self.impersonate_user)] if self.impersonate_user else []
        headers += [("Impersonate-Group", group) for group in groups]
        for name, value in headers:
            _check_header(name, value)
        return headers


def require_library() -> None:
    """Raise MissingLibrary unless the ``kubernetes`` library can be imported."""
    if _IMPORT_ERROR is not None:
        raise MissingLibrary(
            f"The Python library 'kubernetes' is needed to reach Kubernetes and cannot be imported: {_IMPORT_ERROR}. "
            "Install it for the Python interpreter that runs the modules.",
            library="kubernetes",
        )


def load_configuration(options: AuthOptions) -> t.Any:
    """Return a ``kubernetes.client.Configuration``; raise KubernetesError when the options lead to none."""
    require_library()
    configuration = _client.Configuration()
    has_login = options.api_key or (options.username and options.password)
    if not (options.host and has_login):
        _load(options, configuration)
    _override(options, configuration)
    for option, path in (
        ("ca_cert", configuration.ssl_ca_cert),
        ("client_cert", configuration.cert_file),
        ("client_key", configuration.key_file),
    ):
        if path and not os.access(path, os.R_OK):
            raise KubernetesError(
                f"The file {path} ({option}, of the options or of the kubeconfig) cannot be read. Nothing was asked.",
                kind="config",
            )
    return configuration


def _load(options: AuthOptions, configuration: t.Any) -> None:
    if options.kubeconfig or options.context:
        _load_kubeconfig(options, configuration)
        return
    try:
        _config.load_incluster_config(client_configuration=configuration)
    except _config.ConfigException:
        # A host without a login may lean on the default kubeconfig for the rest, but need not.
        if _paths(None) or not options.host:
            _load_kubeconfig(options, configuration)


def _paths(kubeconfig: str | None) -> list[str]:
    places = kubeconfig or _config.KUBE_CONFIG_DEFAULT_LOCATION
    return [
        path for path in map(os.path.expanduser, places.split(os.pathsep)) if path and os.path.exists(path)
    ]


def _load_kubeconfig(options: AuthOptions, configuration: t.Any) -> None:
    given = options.kubeconfig
    if isinstance(given, str) and is_text(given):
        raise KubernetesError(
            "The option kubeconfig holds the text of a kubeconfig. Give the path of its file, or its content as a "
            "dictionary (from_yaml). Nothing was asked.",
            kind="config",
        )
    where = (
        "given as a dictionary"
        if isinstance(given, dict)
        else str(given or _config.KUBE_CONFIG_DEFAULT_LOCATION)
    )
    if not isinstance(given, dict) and not _paths(given):
        if given or options.context:
            raise KubernetesError(
                f"The kubeconfig {where} does not exist, or this user may not look there.", kind="config"
            )
        raise KubernetesError(
            "There is no access to Kubernetes: no kubeconfig, no host with an api_key, no ServiceAccount of a pod, and "
            f"{where} does not exist. Set one of these options or its K8S_AUTH_ variable.",
            kind="config",
        )
    try:
        # By default a refreshed token is not written back: the file belongs to the user.
        settings = {
            "context": options.context,
            "client_configuration": configuration,
            "persist_config": bool(options.persist_config),
        }
        if isinstance(given, dict):
            _config.load_kube_config_from_dict(given, **settings)
        else:
            _config.load_kube_config(given or _config.KUBE_CONFIG_DEFAULT_LOCATION, **settings)
    except Exception as err:  # the loader lets through whatever the content of the file provokes
        chosen = f" with the context {options.context!r}" if options.context else ""
        raise KubernetesError(
            f"The kubeconfig {where}{chosen} cannot be used: {_harmless(err)}.", kind="config"
        ) from None


def _harmless(err: Exception) -> str:
    """Say what is wrong with a kubeconfig without quoting from it: it holds secrets.

    The loader's messages name a place by the repr of its content, from the first brace on; those of the YAML parser
    quote the offending line.
    """
    mark = getattr(err, "problem_mark", None)
    if mark is not None:
        return f"no valid YAML in line {mark.line + 1}, column {mark.column + 1}"
    if isinstance(err, (_config.ConfigException, OSError)):
        return str(err).split("{", maxsplit=1)[0].strip().rstrip(".")
    return f"its content is not that of a kubeconfig ({type(err).__name__})"


def _check_header(name: str, value: str) -> None:
    """Refuse what cannot be sent, without quoting it: the HTTP library's own message does."""
    if not (value.isascii() and value.isprintable()):
        raise KubernetesError(
            f"{name} holds a character that cannot be sent to Kubernetes (the end of a line, or none of ASCII). "
            "Nothing was asked.",
            kind="config",
        )


def _override(options: AuthOptions, configuration: t.Any) -> None:
    if options.host:
        configuration.host = options.host.rstrip("/")
    for attribute, value in (
        ("verify_ssl", options.validate_certs),
        ("ssl_ca_cert", options.ca_cert),
        ("cert_file", options.client_cert),
        ("key_file", options.client_key),
        ("proxy", options.proxy),
        ("no_proxy", options.no_proxy),
    ):
        if value is not None:
            setattr(configuration, attribute, value)
    headers: dict[str, t.Any] = {key: value for key, value in (options.proxy_headers or {}).items() if value}
    if headers:
        configuration.proxy_headers = _make_headers(**headers)
    login = None
    if options.api_key:
        # A token that was read from a file often brings the end of its line.
        login = f"Bearer {options.api_key.strip()}"
        _check_header("api_key", login)
    elif options.username and options.password:
        configuration.username, configuration.password = options.username, options.password
        login = configuration.get_basic_auth_token()
    if login:
        configuration.api_key = {"authorization": login}
        # The hook of a kubeconfig would put its own token back.
        configuration.refresh_api_key_hook = None
