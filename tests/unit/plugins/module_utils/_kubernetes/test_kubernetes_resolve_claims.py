# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From claims to volumes over recorded objects: what is left out and why, and nobody gets what is not theirs."""

from __future__ import annotations

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.claims import (
    Skip,
    without_duplicates,
)
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._kubernetes.recorded import (
    CLASS,
    Object,
    Recorded,
    claims,
    messages,
    mounting,
    named,
    reasons,
)


def test_what_is_not_backed_up_is_named_with_its_reason(recorded: Recorded) -> None:
    names = ["good", "pending", "lost", "gone", "no-volume", "other-class", "nfs"]
    recorded.deployment("web", mounting(*names, tmp={"emptyDir": {}}, config={"configMap": {}}))
    recorded.claim("good")
    recorded.claim("pending", phase="Pending", volume=False)
    recorded.claim("lost", phase="Lost", volume=False)
    recorded.claim("no-volume", volume=False)
    recorded.claim("other-class", storage_class="archive")
    recorded.claim("nfs", source={"nfs": {"server": "x"}})
    result = recorded.resolve(named("web"))
    assert claims(result) == ["shop/good"]
    assert reasons(result) == {
        "tmp": "emptyDir: it is lost with its pod",
        "pending": "the claim is Pending: no persistent volume is bound to it",
        "lost": "the claim is Lost: its persistent volume is gone",
        "gone": "the claim does not exist",
        "no-volume": "its persistent volume pv-shop-no-volume does not exist",
        "other-class": "its storage class is 'archive', which is not among those to be backed up",
        "nfs": "not an RBD image: the persistent volume is of kind nfs",
    }
    assert {item["claim"] for item in result.skipped if item["warning"]} == {
        "lost",
        "no-volume",
        "other-class",
    }
    assert all(item["workload"] == "deployment/web" for item in result.skipped)
    assert all(
        set(item) == {"namespace", "workload", "claim", "volume", "reason", "warning"}
        for item in result.skipped
    )
    assert result.problems == []


def test_a_class_that_is_not_wanted_hides_no_doubt(recorded: Recorded) -> None:
    source = {"csi": {"driver": "rbd.csi.ceph.com", "volumeHandle": "odd"}}
    recorded.deployment("web", mounting("a", "b"))
    recorded.claim("a", source=source)
    recorded.claim("b", source=source, storage_class="archive")
    result = recorded.resolve(named("web"))
    assert [item["claim"] for item in result.problems] == ["a"]
    assert [(item["claim"], item["warning"]) for item in result.skipped] == [("b", True)]


def test_claims_without_a_class(recorded: Recorded) -> None:
    recorded.deployment("web", mounting("none", "annotated"))
    recorded.claim("none", storage_class="")
    annotation = {"volume.beta.kubernetes.io/storage-class": CLASS}
    recorded.claim("annotated", storage_class="", metadata={"annotations": annotation})
    assert claims(recorded.resolve(named("web"), storage_classes=[""])) == ["shop/none"]
    assert claims(recorded.resolve(named("web"))) == ["shop/annotated"]
    assert claims(recorded.resolve(named("web"), storage_classes=["", CLASS])) == [
        "shop/annotated",
        "shop/none",
    ]


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ({"namespace": "bank"}, "which is bound to bank/data"),
        ({"name": "other"}, "which is bound to shop/other"),
        ({"uid": "earlier"}, "bound to an earlier claim"),
        ({"namespace": None, "name": None}, "bound to None/None"),
    ],
)
def test_nobody_gets_the_volume_of_somebody_else(recorded: Recorded, reference: Object, says: str) -> None:
    recorded.deployment("web", mounting("data"))
    recorded.claim("data", reference=reference)
    result = recorded.resolve(named("web"))
    assert result.volumes == []
    assert says in messages(result)
    assert result.problems[0]["claim"] == "data"


def image_of(cluster_id: str | None) -> Object:
    attributes = {"pool": "fast", "staticVolume": "true", **({"clusterID": cluster_id} if cluster_id else {})}
    return {"csi": {"driver": "rbd.csi.ceph.com", "volumeHandle": "one", "volumeAttributes": attributes}}


@pytest.mark.parametrize(("second", "is_problem"), [("ceph", False), (None, False), ("another", True)])
def test_an_image_behind_two_claims_is_backed_up_once(
    recorded: Recorded, second: str | None, is_problem: bool
) -> None:
    recorded.deployment("web", mounting("a", "b"))
    recorded.claim("a", source=image_of("ceph"))
    recorded.claim("b", source=image_of(second))
    result = recorded.resolve(named("web"))
    kept, skips, problems = without_duplicates(result.volumes, lambda item: item.volume.spec)
    assert [item.volume.claim for item in kept] == ["a"]
    if is_problem:
        ((namespace, claim, message),) = problems
        assert (namespace, claim, skips) == ("shop", "b", [])
        assert "shop/a and shop/b lead to images of the same name fast/one" in message
    else:
        reason = "its image fast/one is backed up as that of the claim shop/a"
        assert skips == [Skip("shop", reason, "deployment/web", "b")]
        assert problems == []


def test_a_storage_class_that_is_not_there_is_a_problem(recorded: Recorded) -> None:
    recorded.deployment("web", mounting("data"))
    recorded.claim("data")
    result = recorded.resolve(named("web"), storage_classes=[CLASS, "blcok"])
    assert claims(result) == ["shop/data"]
    assert messages(result) == "There is no StorageClass blcok, and no persistent volume names it."


def test_a_storage_class_that_was_deleted_while_its_volumes_live_on(recorded: Recorded) -> None:
    recorded.deployment("web", mounting("data"))
    recorded.claim("data", storage_class="old", source={"storageClassName": "old", **image_of("ceph")})
    result = recorded.resolve(named("web"), storage_classes=["old"])
    assert (claims(result), result.problems) == (["shop/data"], [])


def test_a_lost_claim_of_a_class_that_is_not_wanted_is_no_warning(recorded: Recorded) -> None:
    recorded.deployment("web", mounting("lost", "no-volume"))
    recorded.claim("lost", phase="Lost", volume=False, storage_class="archive")
    recorded.claim("no-volume", volume=False, storage_class="archive")
    result = recorded.resolve(named("web"))
    assert [(item["claim"], item["warning"]) for item in result.skipped] == [
        ("lost", False),
        ("no-volume", False),
    ]
