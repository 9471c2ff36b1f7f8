# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The RBD client in each of the three ways, against the lab's Ceph: what it does is compared with what Ceph shows."""

from __future__ import annotations

import concurrent.futures
import pathlib
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.access import open_ceph
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.rbd import RbdClient
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.runner import READ_SIZE
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import CephError, InvalidInput, NotFound
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec
from ansible_collections.rbd_backup.gfs.tests.integration.conftest import Lab
from ansible_collections.rbd_backup.gfs.tests.integration.images import KIB, MIB, Images

SIZE = 24 * MIB


@pytest.fixture
def history(images: Images) -> ImageSpec:
    """An image with two snapshots, ``one`` and ``two``, and changes of each kind before them."""
    spec = images.create(SIZE, "--object-size", "1M")
    images.change(spec, ("write", 0, 3 * MIB, 1), ("write", 9 * MIB + 512, 700 * KIB, 2))
    images.rbd(spec, "snap", "create", "--snap", "one")
    images.change(spec, ("write", 2 * MIB, 2 * MIB, 3), ("discard", 0, MIB), ("zeros", 12 * MIB, 64 * KIB))
    images.rbd(spec, "snap", "create", "--snap", "two")
    return spec


def export(client: RbdClient, spec: ImageSpec, to: str, base: str | None) -> bytes:
    with client.export_diff(spec, to, base) as stream:
        data = b"".join(iter(stream.read, b""))
        receipt = stream.finish()
    assert receipt.bytes == len(data)
    return data


@pytest.mark.parametrize("base", [None, "one"])
def test_every_way_carries_the_bytes_that_rbd_writes_to_a_file(
    any_rbd: RbdClient, images: Images, history: ImageSpec, tmp_path: pathlib.Path, base: str | None
) -> None:
    file = tmp_path / "diff"
    since = ("--from-snap", base) if base else ()
    images.rbd(history, "export-diff", "--snap", "two", *since, "--path", str(file))
    assert export(any_rbd, history, "two", base) == file.read_bytes()


def test_what_is_imported_is_what_was_exported(
    any_rbd: RbdClient, local_rbd: RbdClient, images: Images, history: ImageSpec
) -> None:
    target = images.name()
    info = any_rbd.info(history)
    any_rbd.create_image(target, 0, info.object_size, info.features)
    for to, base in (("one", None), ("two", "one")):
        data = export(local_rbd, history, to, base)
        with any_rbd.import_diff(target) as stream:
            for start in range(0, len(data), 99_991):
                stream.write(data[start : start + 99_991])
            receipt = stream.finish()
        assert receipt.bytes == len(data)
    for snapshot in ("one", "two"):
        assert images.read(target, snapshot) == images.read(history, snapshot)
    assert images.read(target) == images.read(history)


def test_a_stream_larger_than_any_buffer_on_its_way(
    any_rbd: RbdClient, local_rbd: RbdClient, images: Images
) -> None:
    source, target = images.create(64 * MIB), images.create(1)
    images.change(source, ("write", 0, 48 * MIB, 4))
    images.rbd(source, "snap", "create", "--snap", "s")
    with any_rbd.export_diff(source, "s", None) as output, local_rbd.import_diff(target) as stream:
        for data in iter(lambda: output.read(READ_SIZE // 3), b""):
            stream.write(data)
        assert stream.finish().bytes == output.finish().bytes
    other = images.create(1)
    with local_rbd.export_diff(source, "s", None) as output, any_rbd.import_diff(other) as stream:
        for data in iter(output.read, b""):
            stream.write(data)
        assert stream.finish().bytes == output.finish().bytes
    assert images.read(target) == images.read(other) == images.read(source)


def test_an_image_is_known_by_its_identity(any_rbd: RbdClient, lab: Lab, images: Images) -> None:
    for pool, rados_namespace in ((lab.pool, ""), (lab.pool, lab.rados_namespace), (lab.other_pool, "")):
        spec = images.create(
            8 * MIB,
            "--object-size",
            "1M",
            "--image-feature",
            "layering",
            pool=pool,
            rados_namespace=rados_namespace,
        )
        info = any_rbd.info(spec)
        assert (info.size, info.object_size, info.features, info.parent) == (
            8 * MIB,
            MIB,
            ("layering",),
            None,
        )
        identity = any_rbd.identity(spec)
        assert (identity.rados_namespace, identity.image_id) == (rados_namespace, info.id)
        assert f"rbd_data.{info.id}" in images.rbd(spec, "info")
        assert any_rbd.pool_ids()[pool] == identity.pool_id
    assert len(any_rbd.fsid()) == 36


def test_a_snapshot_is_taken_listed_and_removed_by_its_id(any_rbd: RbdClient, images: Images) -> None:
    spec = images.create()
    assert any_rbd.snapshots(spec) == ()
    for name in ("zebra", "ape"):
        any_rbd.create_snapshot(spec, name)
    images.change(spec, ("resize", 32 * MIB))
    any_rbd.create_snapshot(spec, "later")
    images.rbd(spec, "snap", "protect", "--snap", "ape")
    found = any_rbd.snapshots(spec)
    assert [(s.name, s.size, s.protected) for s in found] == [
        ("zebra", 16 * MIB, False),
        ("ape", 16 * MIB, True),
        ("later", 32 * MIB, False),
    ]
    with pytest.raises(CephError, match="protected"):
        any_rbd.remove_snapshot(spec, found[1].id)
    with pytest.raises(CephError, match="File exists"):
        any_rbd.create_snapshot(spec, "ape")
    any_rbd.remove_snapshot(spec, found[0].id)
    with pytest.raises(NotFound):
        any_rbd.remove_snapshot(spec, found[0].id)
    assert [s.id for s in any_rbd.snapshots(spec)] == [found[1].id, found[2].id]
    assert "zebra" not in images.rbd(spec, "snap", "ls")


def test_snapshots_that_ceph_keeps_for_itself_are_not_listed(any_rbd: RbdClient, images: Images) -> None:
    spec = images.create(MIB, "--image-feature", "layering")
    images.rbd(spec, "snap", "create", "--snap", "parent")
    images.clone(spec, "parent")
    images.rbd(spec, "snap", "rm", "--snap", "parent", "--rbd-default-clone-format", "2")
    assert "trash" in images.rbd(spec, "snap", "ls", "--all")
    assert any_rbd.snapshots(spec) == ()


def test_an_image_is_made_renamed_and_removed(any_rbd: RbdClient, lab: Lab, images: Images) -> None:
    spec = images.name(rados_namespace=lab.rados_namespace)
    any_rbd.create_image(
        spec, 5 * MIB + 512, MIB, ["layering", "data-pool"], stripe_unit=64 * KIB, stripe_count=3
    )
    info = any_rbd.info(spec)
    assert (info.size, info.object_size, info.stripe_unit, info.stripe_count) == (
        5 * MIB + 512,
        MIB,
        64 * KIB,
        3,
    )
    with pytest.raises(CephError, match="File exists"):
        any_rbd.create_image(spec, MIB, MIB, ["layering"])
    renamed = images.name(rados_namespace=lab.rados_namespace)
    any_rbd.rename_image(spec, renamed.image)
    with pytest.raises(NotFound):
        any_rbd.info(spec)
    assert any_rbd.info(renamed).id == info.id
    any_rbd.create_snapshot(renamed, "s")
    with pytest.raises(CephError, match="has snapshots"):
        any_rbd.remove_image(renamed)
    any_rbd.remove_snapshot(renamed, any_rbd.snapshots(renamed)[0].id)
    any_rbd.remove_image(renamed)
    with pytest.raises(NotFound):
        any_rbd.remove_image(renamed)


def test_a_clone_names_its_parent(any_rbd: RbdClient, images: Images, history: ImageSpec) -> None:
    clone = images.clone(history, "one")
    assert any_rbd.info(clone).parent == f"{history}@one"
    images.change(clone, ("flatten",))
    assert any_rbd.info(clone).parent is None


def test_metadata_is_read_and_none_is_none(any_rbd: RbdClient, images: Images) -> None:
    spec = images.create()
    assert any_rbd.metadata(spec) == {}
    images.rbd(spec, "image-meta", "set", "rbd.csi.ceph.com/dek", 'a "quoted" key\nof two lines')
    assert any_rbd.metadata(spec) == {"rbd.csi.ceph.com/dek": 'a "quoted" key\nof two lines'}


def test_whoever_has_the_image_open_is_counted(any_rbd: RbdClient, images: Images) -> None:
    spec = images.create()
    assert any_rbd.watchers(spec) == 0
    with images.opened(spec):
        assert any_rbd.watchers(spec) == 1
        with pytest.raises(CephError, match="watchers"):
            any_rbd.remove_image(spec)


def test_what_does_not_exist_is_not_found(
    any_rbd: RbdClient, lab: Lab, images: Images, history: ImageSpec
) -> None:
    absent = [
        images.name(),
        images.name(rados_namespace=lab.rados_namespace),
        ImageSpec(lab.pool, "no-such-namespace", "image"),
        ImageSpec("no-such-pool", "", "image"),
    ]
    for spec in absent:
        for question in (any_rbd.info, any_rbd.snapshots, any_rbd.identity, any_rbd.watchers):
            with pytest.raises(NotFound, match=r"does not exist|No such file|no pool"):
                question(spec)
        with pytest.raises(NotFound):
            any_rbd.create_snapshot(spec, "s")
    for to, base in (("absent", None), ("two", "absent")):
        with pytest.raises(NotFound, match=r"Exporting .* failed \((local rbd|pod rook-ceph/rook-ceph-)"):
            export(any_rbd, history, to, base)


def test_a_name_that_rbd_would_take_apart_is_refused(
    any_rbd: RbdClient, lab: Lab, images: Images, history: ImageSpec
) -> None:
    assert "protected" in images.rbd(ImageSpec(lab.pool, "", f"{history.image}@one"), "info"), (
        "rbd has become stricter"
    )
    for spec in (
        ImageSpec(lab.pool, "", f"{history.image}@one"),
        ImageSpec(lab.other_pool, "", str(history)),
        ImageSpec(f"{lab.pool}/{lab.rados_namespace}", "", history.image),
        ImageSpec(lab.pool, f"../{lab.rados_namespace}", history.image),
        ImageSpec(lab.pool, "", "--all"),
        ImageSpec(lab.pool, "", ""),
    ):
        with pytest.raises(InvalidInput, match="Nothing was touched"):
            any_rbd.info(spec)
    for call in (any_rbd.create_snapshot, lambda spec, name: any_rbd.export_diff(spec, name, None)):
        with pytest.raises(InvalidInput, match="Nothing was touched"):
            call(history, "other@one")
    with pytest.raises(InvalidInput, match="Nothing was touched"):
        any_rbd.export_diff(history, "two", "x/y")


def test_many_threads_share_a_client(any_rbd: RbdClient, images: Images, history: ImageSpec) -> None:
    expected = export(any_rbd, history, "two", "one")

    def work(number: int) -> None:
        assert [s.name for s in any_rbd.snapshots(history)] == ["one", "two"]
        assert any_rbd.identity(history).image_id == any_rbd.info(history).id
        assert export(any_rbd, history, "two", "one") == expected

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(8)))


def test_debugging_in_ceph_conf_reaches_no_answer_and_no_stream(
    lab: Lab, local_rbd: RbdClient, history: ImageSpec, tmp_path: pathlib.Path
) -> None:
    conf = tmp_path / "ceph.conf"
    noise = "[global]\nlog_to_stderr = true\nerr_to_stderr = true\ndebug_ms = 5\ndebug_rbd = 20\n"
    conf.write_text(pathlib.Path(lab.ceph_conf).read_text() + noise)
    noisy = open_ceph(lab.ceph_options("local", conf=str(conf)), t.cast(t.Any, None))
    assert noisy.fsid() == local_rbd.fsid()
    assert noisy.snapshots(history) == local_rbd.snapshots(history)
    with noisy.export_diff(history, "two", None) as stream:
        data = b"".join(iter(stream.read, b""))
        assert "rbd_data" not in stream.finish().stderr
    assert data == export(local_rbd, history, "two", None)
