# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the options lead to a cluster: the order of kubernetes.core, and no secret in any message."""

from __future__ import annotations

import dataclasses
import pathlib
import typing as t

import pytest
import yaml
from kubernetes import config

from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import KubernetesError
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.auth_spec import AUTH_SPEC
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.client import connect
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.configuration import (
    AuthOptions,
    load_configuration,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.kubeconfig import secrets_in

SECRET = "kept-to-ourselves-0815"


def kubeconfig(**user: t.Any) -> dict[str, t.Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "first",
        "clusters": [
            {"name": "one", "cluster": {"server": "https://one.example.com:6443/"}},
            {
                "name": "two",
                "cluster": {"server": "https://two.example.com", "insecure-skip-tls-verify": True},
            },
        ],
        "users": [{"name": "me", "user": user or {"token": SECRET}}],
        "contexts": [
            {"name": "first", "context": {"cluster": "one", "user": "me"}},
            {"name": "second", "context": {"cluster": "two", "user": "me"}},
        ],
    }


@pytest.fixture(autouse=True)
def nothing_around(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    """Neither a pod's ServiceAccount nor a kubeconfig of whoever runs the tests."""
    monkeypatch.setattr(config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)


def login_of(**options: t.Any) -> tuple[str, str | None]:
    loaded = load_configuration(AuthOptions.from_mapping(options))
    login = loaded.get_api_key_with_prefix("authorization") or loaded.get_api_key_with_prefix("BearerToken")
    return loaded.host, login


def written(tmp_path: pathlib.Path, content: t.Any) -> str:
    path = tmp_path / "kubeconfig"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return str(path)


def test_host_and_token_are_enough() -> None:
    assert login_of(host="https://api.example.com/", api_key=SECRET) == (
        "https://api.example.com",
        f"Bearer {SECRET}",
    )


def test_host_and_token_go_before_a_kubeconfig() -> None:
    given = login_of(host="https://api.example.com", api_key="other", kubeconfig=kubeconfig())
    assert given == ("https://api.example.com", "Bearer other")
    assert (
        login_of(host="https://api.example.com", api_key=SECRET, kubeconfig="/no/such/file")[1]
        == f"Bearer {SECRET}"
    )


def test_host_and_password_are_enough() -> None:
    given = login_of(host="https://api.example.com", username="me", password="pw")
    assert given == ("https://api.example.com", "Basic bWU6cHc=")


def test_kubeconfig_as_a_path_or_as_a_dictionary(tmp_path: pathlib.Path) -> None:
    expected = ("https://one.example.com:6443", f"Bearer {SECRET}")
    assert login_of(kubeconfig=kubeconfig()) == expected
    assert login_of(kubeconfig=written(tmp_path, kubeconfig())) == expected


def test_a_context_is_chosen(tmp_path: pathlib.Path) -> None:
    loaded = load_configuration(AuthOptions(kubeconfig=written(tmp_path, kubeconfig()), context="second"))
    assert (loaded.host, loaded.verify_ssl) == ("https://two.example.com", False)


def test_single_values_override_the_kubeconfig(tmp_path: pathlib.Path) -> None:
    ca_cert = tmp_path / "ca.crt"
    ca_cert.write_text("x")
    options = AuthOptions(
        kubeconfig=kubeconfig(), context="second", validate_certs=True, ca_cert=str(ca_cert)
    )
    loaded = load_configuration(options)
    assert (loaded.verify_ssl, loaded.ssl_ca_cert) == (True, str(ca_cert))
    assert login_of(kubeconfig=kubeconfig(), api_key="other") == (
        "https://one.example.com:6443",
        "Bearer other",
    )
    # The kubeconfig's hook would put the kubeconfig's token back.
    options = AuthOptions(kubeconfig=kubeconfig(), api_key="other")
    assert load_configuration(options).refresh_api_key_hook is None


def test_the_default_kubeconfig_comes_last(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "KUBE_CONFIG_DEFAULT_LOCATION", written(tmp_path, kubeconfig()))
    assert login_of()[0] == "https://one.example.com:6443"


def test_the_service_account_of_a_pod_comes_before_it(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, ca_cert = tmp_path / "token", tmp_path / "ca.crt"
    token.write_text(SECRET)
    ca_cert.write_text("x")
    monkeypatch.setattr(config.incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(config.incluster_config, "SERVICE_CERT_FILENAME", str(ca_cert))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.setattr(config, "KUBE_CONFIG_DEFAULT_LOCATION", written(tmp_path, kubeconfig()))
    assert login_of() == ("https://10.96.0.1:443", f"bearer {SECRET}")
    assert login_of(kubeconfig=kubeconfig())[0] == "https://one.example.com:6443"


def test_an_empty_text_is_not_given() -> None:
    given = login_of(host="https://api.example.com", api_key=SECRET, kubeconfig="", context="", ca_cert="")
    assert given[0] == "https://api.example.com"


def test_a_host_with_a_client_certificate_needs_no_kubeconfig(tmp_path: pathlib.Path) -> None:
    certificate = tmp_path / "tls.crt"
    certificate.write_text("x")
    loaded = load_configuration(AuthOptions(host="https://api.example.com", client_cert=str(certificate)))
    assert (loaded.host, loaded.cert_file) == ("https://api.example.com", str(certificate))


@pytest.mark.parametrize(
    ("content", "options", "says"),
    [
        (None, {}, "does not exist"),
        ("", {}, "file is empty"),
        (f"users: [\n  token: {SECRET}", {}, "no valid YAML in line 2"),
        (f"just a text {SECRET}", {}, "not that of a kubeconfig"),
        ({"users": [{"user": {"token": SECRET}}]}, {}, "cannot be used"),
        ({**kubeconfig(), "clusters": [{"name": "one"}]}, {}, "Expected key cluster"),
        ({**kubeconfig(), "users": [{"name": "me", "token": SECRET}]}, {}, "Expected key user"),
        (kubeconfig(), {"context": "third"}, "context 'third'"),
    ],
)
def test_a_kubeconfig_that_is_no_use_is_named_and_not_quoted(
    tmp_path: pathlib.Path, content: t.Any, options: dict[str, t.Any], says: str
) -> None:
    path = str(tmp_path / "missing") if content is None else written(tmp_path, content)
    with pytest.raises(KubernetesError) as caught:
        load_configuration(AuthOptions(kubeconfig=path, **options))
    assert says in caught.value.message
    assert path in caught.value.message
    assert SECRET not in caught.value.message
    assert caught.value.__cause__ is None


def test_no_access_at_all_says_what_to_set() -> None:
    with pytest.raises(KubernetesError, match="K8S_AUTH_"):
        load_configuration(AuthOptions())


@pytest.mark.parametrize("option", ["ca_cert", "client_cert", "client_key"])
def test_a_file_that_cannot_be_read_is_named(option: str) -> None:
    options = {"host": "https://api.example.com", "api_key": SECRET}
    with pytest.raises(KubernetesError, match=rf"/no/such/file \({option}"):
        load_configuration(AuthOptions.from_mapping({**options, option: "/no/such/file"}))


def test_a_certificate_that_is_none_is_an_error_of_the_configuration(tmp_path: pathlib.Path) -> None:
    ca_cert = tmp_path / "ca.crt"
    ca_cert.write_text("no certificate")
    cluster = connect({"host": "https://127.0.0.1:1", "api_key": SECRET, "ca_cert": str(ca_cert)}, attempts=1)
    with pytest.raises(KubernetesError) as caught:
        cluster.get("/api")
    assert "127.0.0.1:1" in caught.value.message


def test_the_text_of_the_options_holds_no_secret() -> None:
    options = AuthOptions(
        api_key=SECRET, password=SECRET, kubeconfig=kubeconfig(), proxy=f"http://me:{SECRET}@proxy"
    )
    assert SECRET not in repr(options)


def test_every_option_of_the_spec_is_taken_up_and_has_its_variable() -> None:
    fields = {field.name for field in dataclasses.fields(AuthOptions)}
    assert fields == set(AUTH_SPEC)
    headers = AUTH_SPEC["proxy_headers"]
    assert headers["apply_defaults"]
    options = {name: option for name, option in AUTH_SPEC.items() if option is not headers}
    options.update({f"proxy_headers_{name}": option for name, option in headers["options"].items()})
    for name, option in options.items():
        assert f"K8S_AUTH_{name.upper()}" in option["fallback"][1]
        for alias in option.get("aliases", []):
            assert f"K8S_AUTH_{alias.upper()}" in option["fallback"][1]


def test_headers_for_the_proxy() -> None:
    headers = {"proxy_basic_auth": "me:pw", "basic_auth": None, "user_agent": "backup/1"}
    options = {"host": "https://api.example.com", "api_key": SECRET, "proxy": "http://proxy:3128"}
    loaded = load_configuration(AuthOptions.from_mapping({**options, "proxy_headers": headers}))
    assert dict(loaded.proxy_headers) == {
        "proxy-authorization": "Basic bWU6cHc=",
        "user-agent": "backup/1",
    }
    nothing = dict.fromkeys(headers)
    assert not load_configuration(
        AuthOptions.from_mapping({**options, "proxy_headers": nothing})
    ).proxy_headers


@pytest.mark.parametrize("persist", [None, False, True])
def test_a_refreshed_token_is_written_back_only_if_that_is_wanted(
    persist: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, t.Any] = {}
    monkeypatch.setattr(
        config, "load_kube_config_from_dict", lambda _given, **settings: seen.update(settings)
    )
    load_configuration(AuthOptions(kubeconfig=kubeconfig(), persist_config=persist))
    assert seen["persist_config"] is bool(persist)


def test_impersonation_becomes_headers() -> None:
    options = AuthOptions(impersonate_user="jane", impersonate_groups=["shop", " office ", ""])
    assert options.impersonation() == [
        ("Impersonate-User", "jane"),
        ("Impersonate-Group", "shop"),
        ("Impersonate-Group", "office"),
    ]
    assert AuthOptions().impersonation() == []
    with pytest.raises(KubernetesError, match="without impersonate_user"):
        AuthOptions(impersonate_groups=["shop"]).impersonation()
    with pytest.raises(KubernetesError, match="Impersonate-User holds a character"):
        AuthOptions(impersonate_user="jane\r\nImpersonate-Group: system:masters").impersonation()


def test_a_token_with_the_end_of_its_line() -> None:
    assert login_of(host="https://api.example.com", api_key=f"{SECRET}\n")[1] == f"Bearer {SECRET}"
    with pytest.raises(KubernetesError, match="api_key holds a character") as caught:
        login_of(host="https://api.example.com", api_key=f"{SECRET}\nmore")
    assert SECRET not in caught.value.message


def test_the_secrets_in_a_kubeconfig_are_found() -> None:
    user = {
        "token": "s1",
        "password": "s2",
        "client-key-data": "s3",
        "auth-provider": {
            "config": {"id-token": "s4", "client-secret": "s5", "idp-issuer-url": "https://idp"}
        },
    }
    assert secrets_in(kubeconfig(**user)) == ["s1", "s2", "s3", "s4", "s5"]
    assert secrets_in("/root/.kube/config") == []


def test_the_environment_of_a_credential_plugin_is_secret() -> None:
    plugin = {"command": "login", "env": [{"name": "PASSWORD", "value": SECRET}]}
    assert secrets_in(kubeconfig(exec=plugin)) == [SECRET]


def test_the_text_of_a_kubeconfig_is_no_path_and_is_never_quoted() -> None:
    text = yaml.safe_dump(kubeconfig(token=SECRET))
    assert {text, SECRET} <= set(secrets_in(text))
    with pytest.raises(KubernetesError) as caught:
        load_configuration(AuthOptions(kubeconfig=text))
    assert SECRET not in str(caught.value)
    assert "path" in caught.value.message
