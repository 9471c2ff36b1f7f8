# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What rbd and ceph answer: the real answers of Ceph 16.2 are read, and nothing that only looks like one is."""

from __future__ import annotations

import contextlib
import json
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph import answers
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import CephError
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import (
    ImageInfo,
    ListedImage,
    Snapshot,
)

INFO = (
    b'{"name":"b","id":"101d1a271408","size":6710886400,"objects":6400,"order":20,"object_size":1048576,'
    b'"snapshot_count":0,"block_name_prefix":"rbd_data.101d1a271408","format":2,'
    b'"features":["layering","exclusive-lock"],"op_features":[],"flags":[],'
    b'"create_timestamp":"Mon Nov 23 07:34:49 2026"}\n'
)
PARENT = (
    b'{"name":"clone","id":"1071ca6e1ef3","size":67108864,"object_size":4194304,"format":2,"features":["layering"],'
    b'"parent":{"pool":"replicapool","pool_namespace":"tenant","image":"a","id":"101bc1a515bc","snapshot":"s2",'
    b'"trash":false,"overlap":67108864},"data_pool":"ec","stripe_unit":65536,"stripe_count":3}'
)
SNAPSHOTS = (
    b'[{"id":5,"name":"s2","size":67108864,"protected":"true","timestamp":"Mon Nov 23 07:39:42 2026",'
    b'"namespace":{"type":"user"}},'
    b'{"id":4,"name":"s1","size":33554432,"protected":"false","timestamp":"Mon Nov 23 07:34:50 2026",'
    b'"namespace":{"type":"user"}},'
    b'{"id":6,"name":"4f1b3d5c","size":67108864,"protected":"false","timestamp":"Mon Nov 23 07:40:00 2026",'
    b'"namespace":{"type":"trash","original_name":"s3"}}]'
)
CLUSTER = (
    b'\n{"epoch":7,"fsid":"06aece64-06a2-4b9f-9aa7-88573803f017","pools":['
    b'{"pool":1,"pool_name":"replicapool","type":1},{"pool":2,"pool_name":"device_health_metrics"}],"osds":[]}'
)
LISTED = (
    b'[{"image":"a","id":"17002becd573d","size":16777216,"format":2},'
    b'{"image":"a","id":"17002becd573d","snapshot":"two","snapshot_id":3577,"size":16777216,"format":2,'
    b'"protected":"true"},'
    b'{"image":"a","id":"17002becd573d","snapshot":"one","snapshot_id":3576,"size":8388608,"format":2,'
    b'"protected":"false"},'
    b'{"image":"b","id":"1700a34c2755f","size":16777216,"parent":{"pool":"replicapool","pool_namespace":"",'
    b'"image":"a","snapshot":"two"},"format":2,"lock_type":"exclusive"}]'
)
TRIMMING = json.dumps(
    {
        "pgmap": {
            "pgs_by_state": [
                {"state_name": "active+clean", "count": 9},
                {"state_name": "active+clean+snaptrim_wait", "count": 6},
                {"state_name": "active+clean+snaptrim", "count": 2},
                {"state_name": "active+clean+snaptrim_error", "count": 1},
            ]
        }
    }
).encode()
READERS: dict[str, tuple[t.Callable[[bytes], object], bytes]] = {
    "image_info": (answers.image_info, PARENT),
    "snapshots": (answers.snapshots, SNAPSHOTS),
    "listed_images": (answers.listed_images, LISTED),
    "image_names": (answers.image_names, b'["a","b"]'),
    "trash": (answers.trash, b'[{"id":"16feaf3ad4831","name":"csi-vol-1"}]'),
    "cluster": (answers.cluster, CLUSTER),
    "trimming_pgs": (answers.trimming_pgs, TRIMMING),
    "watchers": (answers.watchers, b'{"watchers":[{"address":"127.0.0.1:0/1","client":4,"cookie":1}]}'),
    "metadata": (answers.metadata, b'{"rbd.csi.ceph.com/dek":"secret","empty":""}'),
}


def test_an_image() -> None:
    assert answers.image_info(INFO) == ImageInfo(
        id="101d1a271408",
        size=6710886400,
        object_size=1048576,
        features=("layering", "exclusive-lock"),
    )


def test_a_striped_clone_with_a_data_pool() -> None:
    info = answers.image_info(PARENT)
    assert info.parent == "replicapool/tenant/a@s2"
    assert (info.data_pool, info.stripe_unit, info.stripe_count) == ("ec", 65536, 3)


def test_snapshots_of_users_only_and_in_the_order_of_their_ids() -> None:
    assert answers.snapshots(SNAPSHOTS) == (
        Snapshot(id=4, name="s1", size=33554432, protected=False),
        Snapshot(id=5, name="s2", size=67108864, protected=True),
    )
    assert answers.snapshots(b"[]\n") == ()


def test_the_images_of_a_pool_with_their_snapshots_in_the_order_of_their_ids() -> None:
    assert answers.listed_images(LISTED) == {
        "a": ListedImage(
            "17002becd573d",
            16777216,
            (
                Snapshot(3576, "one", 8388608, protected=False),
                Snapshot(3577, "two", 16777216, protected=True),
            ),
        ),
        "b": ListedImage("1700a34c2755f", 16777216, ()),
    }
    assert answers.listed_images(b"[]") == {}


def test_images_of_format_1_have_no_id_and_are_left_out_of_a_listing() -> None:
    old = [{"image": "old", "id": "", "size": 1, "format": 1}, {**json.loads(LISTED)[0]}]
    assert list(answers.listed_images(json.dumps(old).encode())) == ["a"]


@pytest.mark.parametrize(
    "entries",
    [
        [1, 2],  # snapshots without their image
        [0, 0],  # an image twice
        [0, 1, 1],  # a snapshot twice
        [0, (1, {"id": "another"})],
        [0, (1, {"image": "b"})],
        [0, (1, {"snapshot_id": None})],
        [0, (1, {"snapshot": ""})],
        [0, (1, {"protected": None})],
        [(0, {"id": ""})],
        [(0, {"size": -1})],
        [(0, {"format": None})],
        [(0, {"image": None})],
    ],
)
def test_a_listing_that_does_not_fit_together_is_no_listing(entries: list[t.Any]) -> None:
    real = json.loads(LISTED)
    made = [real[e] if isinstance(e, int) else {**real[e[0]], **e[1]} for e in entries]
    with pytest.raises(CephError):
        answers.listed_images(json.dumps(made).encode())


@pytest.mark.parametrize(("said", "means"), [("true", True), ("false", False), (True, True), (False, False)])
def test_protected_is_a_string_or_a_boolean(said: object, means: bool) -> None:
    entry = {"id": 1, "name": "s", "size": 0, "protected": said, "namespace": {"type": "user"}}
    assert answers.snapshots(json.dumps([entry]).encode())[0].protected is means


@pytest.mark.parametrize(
    "changes",
    [
        {"protected": "no"},
        {"protected": 0},
        {"protected": None},
        {"id": "5"},
        {"id": -1},
        {"id": True},
        {"name": ""},
        {"size": None},
        {"namespace": "user"},
        {"namespace": {}},
    ],
)
def test_a_doubtful_snapshot_spoils_the_whole_list(changes: dict[str, t.Any]) -> None:
    good = {"id": 1, "name": "s", "size": 0, "protected": "false", "namespace": {"type": "user"}}
    with pytest.raises(CephError):
        answers.snapshots(json.dumps([good, {**good, "id": 2, "name": "t", **changes}]).encode())


@pytest.mark.parametrize("again", [{"id": 1, "name": "t"}, {"id": 2, "name": "s"}])
def test_a_snapshot_that_is_listed_twice_spoils_the_whole_list(again: dict[str, t.Any]) -> None:
    good = {"id": 1, "name": "s", "size": 0, "protected": "false", "namespace": {"type": "user"}}
    with pytest.raises(CephError, match="twice"):
        answers.snapshots(json.dumps([good, {**good, **again}]).encode())


def test_images_in_the_trash() -> None:
    assert answers.trash(READERS["trash"][1]) == {"16feaf3ad4831": "csi-vol-1"}


def test_the_cluster_and_its_pools() -> None:
    pools = {"replicapool": 1, "device_health_metrics": 2}
    assert answers.cluster(CLUSTER) == ("06aece64-06a2-4b9f-9aa7-88573803f017", pools)


def test_watchers_and_metadata() -> None:
    assert answers.watchers(READERS["watchers"][1]) == 1
    assert answers.metadata(READERS["metadata"][1]) == {"rbd.csi.ceph.com/dek": "secret", "empty": ""}


def test_placement_groups_that_trim_or_wait_to_are_counted() -> None:
    assert answers.trimming_pgs(READERS["trimming_pgs"][1]) == 8


def test_what_snapshots_added_and_what_the_next_one_would_add() -> None:
    head = {"name": "i", "id": "1", "provisioned_size": 16, "used_size": 3}
    first = {**head, "snapshot": "a", "snapshot_id": 7, "used_size": 8}
    second = {**head, "snapshot": "b", "snapshot_id": 9, "used_size": 4}
    assert answers.used_bytes(json.dumps({"images": [head]}).encode()) == {1: 3}
    everything = json.dumps({"images": [first, second, head]}).encode()
    assert answers.used_bytes(everything) == {7: 8, 9: 4, 10: 3}


def test_an_image_of_format_1_is_refused() -> None:
    with pytest.raises(CephError, match="format 1"):
        answers.image_info(b'{"name":"old","size":1,"object_size":4194304,"format":1}')


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("nothing", [b"", b"\n", b"  \r\n"])
def test_no_answer_is_an_error_and_not_an_empty_list(name: str, nothing: bytes) -> None:
    with pytest.raises(CephError, match="empty"):
        READERS[name][0](nothing)


@pytest.mark.parametrize("name", READERS)
def test_a_truncated_answer_is_an_error(name: str) -> None:
    read, answer = READERS[name]
    for length in range(1, len(answer.strip())):
        with pytest.raises(CephError):
            read(answer.strip()[:length])


def test_words_before_the_answer_are_an_error_that_shows_nothing_of_it() -> None:
    with pytest.raises(CephError, match="not JSON") as caught:
        answers.metadata(b'2026-11-23 debug ms 1\n{"rbd.csi.ceph.com/dek":"secret"}')
    assert "secret" not in caught.value.message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(st.sampled_from(sorted(READERS)), st.lists(st.integers(0, 4), max_size=4), JSON)
def test_whatever_stands_in_an_answer_it_is_read_or_refused_with_a_typed_error(
    name: str, path: list[int], value: t.Any
) -> None:
    read, answer = READERS[name]
    document = json.loads(answer)
    place: t.Any = {"": document}
    key: t.Any = ""
    for step in path:
        inner = place[key]
        if not isinstance(inner, (dict, list)) or not inner:
            break
        place, key = inner, (list(inner) if isinstance(inner, dict) else range(len(inner)))[step % len(inner)]
    if place == {"": document}:
        document = value
    else:
        place[key] = value
    with contextlib.suppress(CephError):
        read(json.dumps(document).encode())
