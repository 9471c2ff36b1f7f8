# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each way in which a persistent volume can be an RBD image, as ceph-csi, Rook and Kubernetes write them."""

from __future__ import annotations

import string
import typing as t
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.volumes import (
    Handle,
    Location,
    NotRbd,
    Unresolved,
    locate,
    parse_handle,
    rados_namespaces,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec

UUID = "26b1ac5a-9bc7-4bb9-a5b1-7c3f0a6cbd3e"
HANDLE = f"0001-0009-rook-ceph-0000000000000002-{UUID}"


def volume(**source: t.Any) -> dict[str, t.Any]:
    return {
        "metadata": {"name": "pvc-1d6b"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": "1Gi"},
            "claimRef": {"namespace": "shop", "name": "data"},
            **source,
        },
    }


def csi(
    handle: str = HANDLE, driver: str = "rook-ceph.rbd.csi.ceph.com", **attributes: str
) -> dict[str, t.Any]:
    return volume(csi={"driver": driver, "volumeHandle": handle, "volumeAttributes": attributes})


def flex(driver: str = "ceph.rook.io/rook-ceph", **options: str) -> dict[str, t.Any]:
    return volume(flexVolume={"driver": driver, "fsType": "ext4", "options": options})


def locate_alone(persistent_volume: dict[str, t.Any]) -> Location:
    """Locate it in a cluster that has no other."""
    return locate(persistent_volume, {})


@pytest.mark.parametrize(
    "driver", ["rbd.csi.ceph.com", "rook-ceph.rbd.csi.ceph.com", "team-a.rbd.csi.ceph.com"]
)
def test_dynamic_volume_of_ceph_csi(driver: str) -> None:
    found = locate_alone(
        csi(
            driver=driver, clusterID="rook-ceph", pool="fast", journalPool="fast", imageName=f"csi-vol-{UUID}"
        )
    )
    assert found == Location(ImageSpec("fast", "", f"csi-vol-{UUID}"), "ceph-csi", 2, "rook-ceph")


def test_dynamic_volume_in_a_rados_namespace() -> None:
    found = locate_alone(csi(pool="fast", radosNamespace="tenant", imageName=f"csi-vol-{UUID}"))
    assert found.spec == ImageSpec("fast", "tenant", f"csi-vol-{UUID}")


def test_dynamic_volume_with_a_handle_of_another_kind_goes_by_its_image_name() -> None:
    found = locate_alone(csi("csi-rbd-vol-0815", pool="fast", clusterID="ceph", imageName="pvc-0815"))
    assert found == Location(ImageSpec("fast", "", "pvc-0815"), "ceph-csi", None, "ceph")


@pytest.mark.parametrize(("prefix", "image"), [({}, "csi-vol-"), ({"volumeNamePrefix": "shop-"}, "shop-")])
def test_older_dynamic_volume_goes_by_its_handle(prefix: dict[str, str], image: str) -> None:
    found = locate_alone(csi(pool="fast", **prefix))
    assert found == Location(ImageSpec("fast", "", image + UUID), "ceph-csi-handle", 2, "rook-ceph")


@pytest.mark.parametrize("true", ["true", "True", "1", "t"])
def test_static_volume_is_called_as_its_handle(true: str) -> None:
    found = locate_alone(
        csi("my-image", pool="fast", clusterID="ceph", staticVolume=true, imageFeatures="layering")
    )
    assert found == Location(ImageSpec("fast", "", "my-image"), "ceph-csi-static", None, "ceph")


def test_a_volume_with_staticvolume_false_is_dynamic() -> None:
    assert locate_alone(csi(pool="fast", staticVolume="false")).form == "ceph-csi-handle"


def test_static_volume_is_in_the_rados_namespace_that_others_of_its_cluster_id_show() -> None:
    def static(cluster_id: str, **attributes: str) -> dict[str, t.Any]:
        return csi("my-image", pool="fast", clusterID=cluster_id, staticVolume="true", **attributes)

    image = f"csi-vol-{UUID}"
    others = [
        csi(clusterID="a", imageName=image, radosNamespace="tenant"),
        csi(clusterID="b", imageName=image, radosNamespace="x"),
        csi(clusterID="b", imageName=image, radosNamespace="y"),
        csi(clusterID="c", imageName=image),
        csi(clusterID="c", driver="cephfs.csi.ceph.com", fsName="fs", imageName=image, radosNamespace="csi"),
        csi(clusterID="c", driver="another.rbd.csi.ceph.com", imageName=image, radosNamespace="z"),
        # What says nothing of where ceph-csi puts its volumes: one made by hand, and one of an old release.
        csi("by-hand", clusterID="c", staticVolume="true", radosNamespace="own"),
        csi(clusterID="a"),
        csi(clusterID="d", imageName=image),
        csi(clusterID="d", imageName=image, radosNamespace="x"),
        volume(nfs={}),
    ]
    known = rados_namespaces(others)
    assert locate(static("a"), known).spec == ImageSpec("fast", "tenant", "my-image")
    assert locate(static("a", radosNamespace="tenant"), known).spec == ImageSpec("fast", "tenant", "my-image")
    assert locate(static("c"), known).spec == ImageSpec("fast", "", "my-image")
    assert locate(static("e"), known).spec == ImageSpec("fast", "", "my-image")
    assert locate(static("e", radosNamespace="own"), known).spec == ImageSpec("fast", "own", "my-image")
    for cluster_id, says in (("b", "'x' and 'y'"), ("d", "the default one and 'x'")):
        with pytest.raises(Unresolved, match=says):
            locate(static(cluster_id), known)
    for cluster_id in ("a", "c"):
        with pytest.raises(Unresolved, match="ceph-csi goes by the clusterID"):
            locate(static(cluster_id, radosNamespace="own"), known)
    # A volume of an old release has no imageName, and may not name its RADOS namespace either.
    assert locate(csi(clusterID="a", pool="fast"), known).spec == ImageSpec("fast", "tenant", image)
    assert locate(csi(clusterID="c", pool="fast"), known).spec == ImageSpec("fast", "", image)
    with pytest.raises(Unresolved, match="'x' and 'y'"):
        locate(csi(clusterID="b", pool="fast"), known)


def test_a_cluster_id_that_rook_made_for_a_rados_namespace_is_no_default_one() -> None:
    cluster_id = "80fc4f4bacc064be641633e6ed25ba7e"
    static = {"pool": "fast", "clusterID": cluster_id, "staticVolume": "true"}
    with pytest.raises(Unresolved, match="one that Rook makes for a RADOS namespace"):
        locate_alone(csi("my-image", **static))
    assert locate_alone(csi("my-image", **static, radosNamespace="x")).spec.rados_namespace == "x"
    known = rados_namespaces([csi(clusterID=cluster_id, imageName="x", radosNamespace="blue")])
    assert locate(csi("my-image", **static), known).spec.rados_namespace == "blue"


@pytest.mark.parametrize(
    ("handle", "attributes", "form"),
    [
        (HANDLE, {"imageName": f"csi-vol-{UUID}"}, "ceph-csi"),
        (HANDLE, {}, "ceph-csi-handle"),
        ("my-image", {"staticVolume": "true"}, "ceph-csi-static"),
        (
            "mig_mons-0_image-x_66617374",
            {"migration": "true", "staticVolume": "true"},
            "ceph-csi-migrated",
        ),
    ],
)
def test_a_driver_may_be_called_anything(handle: str, attributes: dict[str, str], form: str) -> None:
    found = locate_alone(csi(handle, driver="block.example.com", pool="fast", clusterID="ceph", **attributes))
    assert (found.form, found.spec.pool) == (form, "fast")


MIGRATED = (
    "mig_mons-b7f67366bb43f32e07d8a261a7840da9_image-e0b45b52-7e09-47d3-8f1b-806995fa4412_"
    "706f6f6c5f7265706c69636170"
)


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {
            "migration": "true",
            "staticVolume": "true",
            "pool": "pool_replicap",
            "imageName": "",
            "clusterID": "b7f6",
        },
        {"imageName": "kubernetes-dynamic-pvc-e0b45b52-7e09-47d3-8f1b-806995fa4412"},
    ],
)
def test_migrated_volume_goes_by_its_handle(attributes: dict[str, str]) -> None:
    found = locate_alone(csi(MIGRATED, **attributes))
    image = "kubernetes-dynamic-pvc-e0b45b52-7e09-47d3-8f1b-806995fa4412"
    assert (found.spec, found.form) == (ImageSpec("pool_replicap", "", image), "ceph-csi-migrated")


def test_migrated_volume_with_another_handle_goes_by_its_attributes() -> None:
    found = locate_alone(
        csi("odd", migration="true", staticVolume="true", pool="rbd", imageName="kubernetes-dynamic-pvc-1")
    )
    assert (found.spec, found.form) == (ImageSpec("rbd", "", "kubernetes-dynamic-pvc-1"), "ceph-csi-migrated")


@pytest.mark.parametrize(("pool", "expected"), [("kube", "kube"), (None, "rbd")])
def test_in_tree_volume(pool: str | None, expected: str) -> None:
    source: dict[str, t.Any] = {"monitors": ["10.0.0.1:6789"], "image": "kubernetes-dynamic-pvc-1"}
    found = locate_alone(volume(rbd={**source, **({"pool": pool} if pool else {})}))
    assert (found.spec, found.form) == (ImageSpec(expected, "", "kubernetes-dynamic-pvc-1"), "in-tree")


@pytest.mark.parametrize("driver", ["ceph.rook.io/rook-ceph-system", "ceph.rook.io/rook", "rook.io/rook"])
def test_flex_volume_of_rook_is_called_as_the_persistent_volume(driver: str) -> None:
    found = locate_alone(
        flex(driver, pool="replicapool", clusterNamespace="rook-ceph", storageClass="rook-block")
    )
    assert found == Location(ImageSpec("replicapool", "", "pvc-1d6b"), "rook-flex", None, "rook-ceph")


def test_flex_volume_that_names_its_image() -> None:
    assert locate_alone(flex(pool="replicapool", image="older-name")).spec.image == "older-name"


@pytest.mark.parametrize(
    ("persistent_volume", "says"),
    [
        (
            csi(driver="rook-ceph.cephfs.csi.ceph.com", fsName="myfs"),
            "CSI driver rook-ceph.cephfs.csi.ceph.com",
        ),
        (csi(driver="ebs.csi.aws.com"), "ebs.csi.aws.com"),
        (csi("vol-1", driver="block.example.com", pool="fast", clusterID="ceph"), "block.example.com"),
        (csi(driver="notrbd.csi.ceph.com"), "notrbd.csi.ceph.com"),
        (csi(driver="files.example.com", pool="data", clusterID="c", subvolumeName="s"), "files.example.com"),
        (
            csi("x", driver="f.example.com", pool="p", clusterID="c", staticVolume="true", rootPath="/"),
            "f.example.com",
        ),
        (flex("vendor/nfs"), "vendor/nfs"),
        (flex(fsName="myfs", clusterNamespace="rook-ceph"), "shared file system"),
        (volume(nfs={"server": "nfs", "path": "/"}), "kind nfs"),
        (volume(hostPath={"path": "/data"}), "kind hostPath"),
        (volume(), "unknown"),
    ],
)
def test_what_is_no_rbd_image_says_what_it_is(persistent_volume: dict[str, t.Any], says: str) -> None:
    with pytest.raises(NotRbd, match=says):
        locate_alone(persistent_volume)


@pytest.mark.parametrize(
    ("persistent_volume", "says"),
    [
        (csi(imageName=f"csi-vol-{UUID}"), "does not name the pool"),
        (csi("0001-rubbish", pool="fast"), "no imageName"),
        (csi(pool="fast", imageName="csi-vol-another"), UUID),
        (csi(MIGRATED, pool="another"), "another"),
        (csi("mig_mons-1_image-2_ff", migration="true"), "no pool that can be read"),
        (csi("odd", migration="true", pool="rbd"), "cannot be read"),
        (csi("other/image", pool="fast", staticVolume="true"), "cannot be the name"),
        (csi("image@snapshot", pool="fast", staticVolume="true"), "cannot be the name"),
        (csi("--pool", pool="fast", staticVolume="true"), "cannot be the name"),
        (csi("image", pool="fast/tenant", staticVolume="true"), "cannot be the name"),
        (volume(rbd={"monitors": [], "image": ""}), "cannot be the name"),
        (flex(clusterNamespace="rook-ceph"), "does not name the pool"),
    ],
)
def test_there_is_no_guess(persistent_volume: dict[str, t.Any], says: str) -> None:
    with pytest.raises(Unresolved, match=says):
        locate_alone(persistent_volume)


CLUSTER_IDS = st.text(string.ascii_letters + string.digits + "-", min_size=1, max_size=36)


@given(CLUSTER_IDS, st.integers(0, 2**63 - 1), st.uuids())
def test_what_ceph_csi_composes_is_what_is_read(cluster_id: str, pool_id: int, image: uuid.UUID) -> None:
    handle = f"0001-{len(cluster_id):04x}-{cluster_id}-{pool_id:016x}-{image}"
    assert parse_handle(handle) == Handle(cluster_id, pool_id, str(image))


@given(CLUSTER_IDS, st.uuids(), st.data())
def test_a_handle_that_is_not_whole_is_none(cluster_id: str, image: uuid.UUID, data: st.DataObject) -> None:
    handle = f"0001-{len(cluster_id):04x}-{cluster_id}-{1:016x}-{image}"
    start = data.draw(st.integers(10, len(handle) - 1))
    end = data.draw(st.integers(start + 1, len(handle)))
    with pytest.raises(ValueError):
        parse_handle(handle[:start] + handle[end:])


@given(st.text(max_size=128))
def test_any_other_text_is_no_handle(text: str) -> None:
    with pytest.raises(ValueError):
        parse_handle(text)
