# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Claims and persistent volumes that no API server would send: each is a problem of its own, and never an accident."""

from __future__ import annotations

import copy
import json
import typing as t

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.claims import (
    ClaimResolver,
    without_duplicates,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.shapes import OBJECT, fault
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._kubernetes.recorded import (
    CLASS,
    Object,
    Recorded,
    claims,
    messages,
    mounting,
    named,
)

UUID = "26b1ac5a-9bc7-4bb9-a5b1-7c3f0a6cbd3e"
SOURCES: list[Object] = [
    {
        "csi": {
            "driver": "rbd.csi.ceph.com",
            "volumeHandle": handle,
            "volumeAttributes": {"pool": "p", **attributes},
        }
    }
    for handle, attributes in (
        (f"0001-0004-ceph-0000000000000002-{UUID}", {"imageName": f"csi-vol-{UUID}", "clusterID": "ceph"}),
        (f"0001-0004-ceph-0000000000000002-{UUID}", {"volumeNamePrefix": "old-", "clusterID": "ceph"}),
        ("image", {"staticVolume": "true", "clusterID": "ceph"}),
        (f"mig_mons-0_image-{UUID}_66", {"migration": "true", "pool": "f"}),
    )
]
SOURCES += [
    {"rbd": {"monitors": ["m"], "pool": "p", "image": "i"}},
    {
        "flexVolume": {
            "driver": "ceph.rook.io/rook",
            "options": {"pool": "p", "clusterNamespace": "rook-ceph"},
        }
    },
]
METADATA = {"name": "data", "namespace": "shop", "uid": "u"}
CLAIM: Object = {
    "metadata": METADATA,
    "spec": {"storageClassName": CLASS, "volumeName": "pv"},
    "status": {"phase": "Bound"},
}
# words that mean something to the rules, so that a wrong one stands where another is expected
WORDS = st.sampled_from(
    [
        "",
        "true",
        "pv",
        "0001-0004-ceph-000000000000000g-" + UUID,
        "mig_mons-0_image-x_00",
        "\x00",
        "\ud800",
        "pool",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)


def volume(source: Object) -> Object:
    return {"metadata": {"name": "pv"}, "spec": {"claimRef": METADATA, **source}}


def places(item: t.Any, above: tuple[t.Any, ...] = ()) -> list[tuple[t.Any, ...]]:
    """The way to everything in *item*, the outermost first."""
    inner = item.items() if isinstance(item, dict) else enumerate(item) if isinstance(item, list) else ()
    return [above, *(place for key, value in inner for place in places(value, (*above, key)))]


def broken(whole: Object, data: st.DataObject) -> Object:
    """*whole* with one to three things replaced or taken away."""
    item = copy.deepcopy(whole)
    for _time in range(data.draw(st.integers(1, 3))):
        *way, last = data.draw(st.sampled_from(places(item)[1:]))
        inner = item
        for key in way:
            inner = inner[key]
        if data.draw(st.booleans()):
            inner[last] = data.draw(JSON)
        else:
            del inner[last]
        if not places(item)[1:]:
            break
    return item


@settings(max_examples=200)
@given(st.sampled_from(SOURCES), st.booleans(), st.data())
def test_a_broken_claim_or_volume_is_told_and_costs_no_other(
    source: Object, of_the_claim: bool, data: st.DataObject
) -> None:
    claim, bad = copy.deepcopy(CLAIM), volume(source)
    if of_the_claim:
        claim = broken(CLAIM, data)
    else:
        bad = broken(bad, data)
    good_volume = volume(SOURCES[2])
    good_volume["metadata"] = {"name": "good"}
    good_volume["spec"]["claimRef"] = {"namespace": "shop", "name": "good"}
    good = {"metadata": {**METADATA, "name": "good"}, "spec": {**CLAIM["spec"], "volumeName": "good"}}
    # a list with what is not even an object is refused whole
    there = [item for item in (bad, good_volume) if not fault(item, OBJECT)]
    resolver = ClaimResolver(there, [], [CLASS])
    resolver.add("shop", "data", None if fault(claim, OBJECT) else claim, ["deployment/web"])
    resolver.add("shop", "good", {**good, "status": {"phase": "Bound"}}, [])
    found = resolver.volumes()
    assert "good" in [item.volume.claim for item in found]
    assert len(found) + len(resolver.problems) + len(resolver.skipped) == 2
    json.dumps([[item.volume.manifests, item.users] for item in found])
    for item in found:
        str(item.volume.spec).encode()
    without_duplicates(found, lambda item: item.volume.spec)


@settings(max_examples=200)
@given(JSON | st.fixed_dictionaries({"metadata": JSON, "spec": JSON, "status": JSON}))
def test_any_object_has_a_shape_or_a_fault(item: t.Any) -> None:
    wrong = fault(item, OBJECT)
    if not wrong:
        assert isinstance(item["metadata"]["name"], str)
        resolver = ClaimResolver([item], [item], [CLASS])
        resolver.add("shop", "data", item, [])
        assert (resolver.volumes(), len(resolver.problems) + len(resolver.skipped)) == ([], 1)


@pytest.mark.parametrize(
    ("csi", "says"),
    [
        (None, "kind an unknown one"),
        ({"driver": "rbd.csi.ceph.com"}, "spec.csi.volumeHandle is not a text"),
        ({"driver": 5, "volumeHandle": "x"}, "spec.csi.driver is not a text"),
        (
            {"driver": "d", "volumeHandle": "x", "volumeAttributes": {"pool": 5}},
            "Attributes is not a map of texts",
        ),
        (["rbd.csi.ceph.com"], "spec.csi is not a map"),
    ],
)
def test_what_is_wrong_is_said_of_the_one_volume(recorded: Recorded, csi: t.Any, says: str) -> None:
    recorded.deployment("web", mounting("bad", "good"))
    recorded.claim("bad", source={"csi": csi})
    recorded.claim("good")
    result = recorded.resolve(named("web"))
    assert claims(result) == ["shop/good"]
    if csi is None:
        assert [says in item["reason"] for item in result.skipped] == [True]
    else:
        assert [(item["claim"], says in item["message"]) for item in result.problems] == [("bad", True)]


def test_a_pool_id_that_is_no_number_is_no_handle(recorded: Recorded) -> None:
    handle = f"0001-0004-ceph-00000000000pool2-{UUID}"
    where = {"pool": "fast", "clusterID": "ceph"}
    recorded.deployment("web", mounting("bad", "good"))
    csi = {"driver": "rbd.csi.ceph.com", "volumeHandle": handle, "volumeAttributes": where}
    recorded.claim("bad", source={"csi": csi})
    recorded.claim("good")
    result = recorded.resolve(named("web"))
    assert claims(result) == ["shop/good"]
    assert f"the volumeHandle {handle!r} is none of ceph-csi" in messages(result)


@pytest.mark.parametrize("kind", ["persistentvolumes", "namespaces/shop/persistentvolumeclaims"])
def test_a_list_with_what_is_no_object_is_no_list(recorded: Recorded, kind: str) -> None:
    recorded.deployment("web", mounting("data"))
    recorded.claim("data")
    recorded.objects[f"/api/v1/{kind}"].append({"metadata": {"name": None}})
    result = recorded.resolve(named("web"))
    assert result.volumes == []
    assert f"/{kind} with an object that is none of Kubernetes: metadata.name is not a text" in messages(
        result
    )
