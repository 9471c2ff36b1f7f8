# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The API client: retries, errors in words, no secret in any of them; and lists that are whole or an error."""

from __future__ import annotations

import socket
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import KubernetesError
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.client import connect
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.lists import fetch, list_objects
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.pods import find_pod
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._kubernetes.scripted_api import (
    TOKEN,
    Answer,
    Asked,
    ScriptedApi,
    list_of,
    status,
)

PATH = "/api/v1/namespaces/shop/pods"
OK = Answer({"kind": "PodList", "items": []})


class Sleeps(list[float]):
    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def in_order(*answers: Answer) -> t.Callable[[Asked], Answer]:
    """Answer one after the other, the last one for ever."""
    rest = list(answers)
    return lambda _asked: rest.pop(0) if len(rest) > 1 else rest[0]


def test_the_request_carries_the_token_and_the_query() -> None:
    with ScriptedApi(in_order(OK)).running() as api:
        assert api.cluster().get(PATH, [("limit", "1"), ("labelSelector", "app=a b")]) == OK.body
    asked = api.asked[0]
    assert (asked.path, asked.query) == (PATH, {"limit": "1", "labelSelector": "app=a b"})
    assert asked.headers["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize(
    "fault", [status(429, "slow down"), status(500, "etcd"), status(503, "starting"), Answer(None)]
)
def test_a_passing_fault_is_retried(fault: Answer) -> None:
    sleeps = Sleeps()
    with ScriptedApi(in_order(fault, fault, OK)).running() as api:
        cluster = api.cluster(sleep=sleeps)
        assert cluster.get(PATH) == OK.body
    assert cluster.requests == len(api.asked) == 3
    assert sleeps == [0.5, 1.0]


def test_the_server_says_how_long_to_wait_within_reason() -> None:
    sleeps = Sleeps()
    slow, slower = status(429, "x"), status(429, "x")
    slow.headers["Retry-After"], slower.headers["Retry-After"] = "7", "3600"
    with ScriptedApi(in_order(slow, slower, OK)).running() as api:
        api.cluster(sleep=sleeps).get(PATH)
    assert sleeps == [7.0, 30.0]


def test_retries_come_to_an_end() -> None:
    with ScriptedApi(in_order(status(500, "etcd is gone"))).running() as api:
        with pytest.raises(
            KubernetesError, match=r"could not GET /api/v1/namespaces/shop/pods \(500\): etcd is gone"
        ):
            api.cluster(sleep=Sleeps(), attempts=3).get(PATH)
    assert len(api.asked) == 3


@pytest.mark.parametrize(
    ("code", "kind", "says"),
    [
        (401, "unauthorized", "api_key"),
        (403, "forbidden", "no leave"),
        (404, "not_found", PATH),
        (410, "expired", "410"),
        (400, "server", "400"),
    ],
)
def test_a_refusal_is_told_at_once_and_in_words(code: int, kind: str, says: str) -> None:
    with ScriptedApi(in_order(status(code, "no leave"))).running() as api:
        with pytest.raises(KubernetesError, match=says) as caught:
            api.cluster().get(PATH)
    assert len(api.asked) == 1
    assert caught.value.details["kind"] == kind
    assert caught.value.details["status"] == code
    assert "no leave" in caught.value.message
    assert PATH in caught.value.message
    assert TOKEN not in caught.value.message + repr(caught.value.details)


@pytest.mark.parametrize("body", [b"<html>login</html>", b"", b"[]", b'{"items": ['])
def test_an_answer_that_is_no_json_object_is_refused(body: bytes) -> None:
    with ScriptedApi(in_order(Answer(body))).running() as api:
        with pytest.raises(KubernetesError, match="not a JSON object"):
            api.cluster(sleep=Sleeps()).get(PATH)


def test_a_redirect_is_not_followed() -> None:
    with ScriptedApi(in_order(Answer(b"", 302, {"Location": "/elsewhere"}))).running() as api:
        with pytest.raises(KubernetesError, match="302"):
            api.cluster().get(PATH)
    assert [asked.path for asked in api.asked] == [PATH]


def test_a_server_that_is_not_there_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        host = f"http://127.0.0.1:{taken.getsockname()[1]}"
        sleeps = Sleeps()
        with pytest.raises(KubernetesError, match=host) as caught:
            connect({"host": host, "api_key": TOKEN}, sleep=sleeps).get(PATH)
    assert caught.value.details["kind"] == "unreachable"
    assert "refused" in caught.value.message
    assert len(sleeps) == 3


def test_a_server_that_says_nothing_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"http://127.0.0.1:{silent.getsockname()[1]}"
        cluster = connect({"host": host, "api_key": TOKEN}, timeout=0.1, attempts=2, sleep=Sleeps())
        with pytest.raises(KubernetesError, match=r"no answer within 0\.1 s"):
            cluster.get(PATH)
        with pytest.raises(KubernetesError, match=r"no answer within 0\.1 s"):
            cluster.websocket(PATH, [], "v4.channel.k8s.io", 0.1)


def test_a_fault_after_an_answer_is_no_unreachable_server() -> None:
    with ScriptedApi(in_order(OK, Answer(None))).running() as api:
        cluster = api.cluster(sleep=Sleeps())
        cluster.get(PATH)
        with pytest.raises(KubernetesError) as caught:
            cluster.get(PATH)
        assert caught.value.details["kind"] == "timeout"
        # A second one in a row is a server that answers nobody: hours would go by with one time-out a list.
        with pytest.raises(KubernetesError) as caught:
            cluster.get(PATH)
    assert caught.value.details["kind"] == "unreachable"


def test_tls_that_fails_is_not_retried() -> None:
    with ScriptedApi(in_order(OK)).running() as api:
        cluster = connect({"host": api.url.replace("http:", "https:"), "api_key": TOKEN})
        with pytest.raises(KubernetesError, match=r"TLS with https://.*ca_cert") as caught:
            cluster.get(PATH)
    assert caught.value.details["kind"] == "tls"
    assert cluster.requests == 1


SEVEN = [{"metadata": {"name": f"pod-{number}"}} for number in range(7)]


def pages(asked: Asked) -> Answer:
    """Serve 7 objects in pages of the size asked for."""
    start = int(asked.query.get("continue", "0"))
    end = start + int(asked.query["limit"])
    return list_of(*SEVEN[start:end], **({"continue": str(end)} if end < 7 else {}))


@pytest.mark.parametrize(("page_size", "requests"), [(2, 4), (7, 1), (500, 1), (1, 7)])
def test_a_list_is_read_page_by_page(page_size: int, requests: int) -> None:
    with ScriptedApi(pages).running() as api:
        cluster = api.cluster(page_size=page_size)
        assert fetch(cluster, PATH) == SEVEN
    assert cluster.requests == requests


def test_a_list_is_begun_anew_when_the_server_has_forgotten_its_page() -> None:
    forgotten = [False]

    def script(asked: Asked) -> Answer:
        if asked.query.get("continue") == "4" and not forgotten[0]:
            forgotten[0] = True
            return status(410, "the provided continue parameter is too old")
        return pages(asked)

    with ScriptedApi(script).running() as api:
        assert fetch(api.cluster(page_size=2), PATH) == SEVEN
    assert [asked.query.get("continue") for asked in api.asked] == [None, "2", "4", None, "2", "4", "6"]


def test_a_list_that_is_always_forgotten_is_an_error() -> None:
    with ScriptedApi(in_order(status(410, "too old"))).running() as api:
        with pytest.raises(KubernetesError, match="410"):
            fetch(api.cluster(), PATH)
    assert len(api.asked) == 3


def test_what_is_no_list_is_not_an_empty_list() -> None:
    with ScriptedApi(in_order(Answer({"kind": "Status", "status": "Success"}))).running() as api:
        with pytest.raises(KubernetesError, match="not with a list"):
            fetch(api.cluster(), PATH)


def test_an_empty_list_may_be_null() -> None:
    with ScriptedApi(in_order(Answer({"kind": "PodList", "metadata": {}, "items": None}))).running() as api:
        assert fetch(api.cluster(), PATH) == []


def test_impersonation_goes_with_every_request() -> None:
    with ScriptedApi(in_order(list_of())).running() as api:
        options = {
            "host": api.url,
            "api_key": TOKEN,
            "impersonate_user": "jane",
            "impersonate_groups": ["a", "b"],
        }
        connect(options).get("/api/v1/pods")
    headers = api.asked[0].headers
    assert (headers["impersonate-user"], headers["impersonate-group"]) == ("jane", "b")
    assert headers["authorization"] == f"Bearer {TOKEN}"


def test_a_list_is_read_once_and_a_refusal_heard_once() -> None:
    with ScriptedApi(
        lambda asked: list_of({"metadata": {"name": "web-1"}}) if "shop" in asked.path else status(403, "no")
    ).running() as api:
        cluster = api.cluster()
        for _again in range(2):
            assert list_objects(cluster, "pods", "shop") == [{"metadata": {"name": "web-1"}}]
            with pytest.raises(KubernetesError, match="403"):
                list_objects(cluster, "pods", "other")
            with pytest.raises(KubernetesError, match="403"):
                list_objects(cluster, "storageclasses")
    assert [asked.path for asked in api.asked] == [
        "/api/v1/namespaces/shop/pods",
        "/api/v1/namespaces/other/pods",
        "/apis/storage.k8s.io/v1/storageclasses",
    ]


def pod(
    name: str, created: str = "2026-11-23T17:00:00Z", ready: str = "True", **metadata: str
) -> dict[str, t.Any]:
    return {
        "metadata": {"name": name, "uid": f"uid-{name}", "creationTimestamp": created, **metadata},
        "spec": {"containers": [{"name": "tools"}, {"name": "proxy"}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]},
    }


def test_the_pod_is_the_newest_of_those_that_are_ready() -> None:
    pods = [
        pod("old"),
        pod("new", "2026-11-23T18:00:00Z"),
        pod("starting", "2026-11-23T19:00:00Z", "False"),
        pod("ending", "2026-11-23T20:00:00Z", deletionTimestamp="2026-11-23T21:00:00Z"),
    ]
    with ScriptedApi(in_order(list_of(*pods))).running() as api:
        found = find_pod(api.cluster(), "rook-ceph", "app=rook-ceph-tools")
    assert (found.name, found.containers, found.uid) == ("new", ("tools", "proxy"), "uid-new")
    assert api.asked[0].query["labelSelector"] == "app=rook-ceph-tools"


def test_no_pod_that_is_ready_says_what_there_is() -> None:
    pods = [pod("starting", ready="False"), {**pod("waiting"), "status": {"phase": "Pending"}}]
    with ScriptedApi(in_order(list_of(*pods))).running() as api:
        with pytest.raises(KubernetesError, match=r"starting \(not ready\), waiting \(Pending\)"):
            find_pod(api.cluster(), "rook-ceph", "app=rook-ceph-tools")
