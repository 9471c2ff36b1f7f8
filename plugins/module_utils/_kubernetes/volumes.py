# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a persistent volume to the RBD image behind it. Pure.

Each form has its rule and the rule its source. What fits no rule is told apart: not RBD at all (:class:`NotRbd`), or
RBD in a form that is not understood (:class:`Unresolved`). There is no guess: an image resolved wrongly is somebody
else's data in the backup.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec

Object = t.Mapping[str, t.Any]

_CSI_DRIVER = "rbd.csi.ceph.com"
_FLEX_VENDORS = frozenset(("ceph.rook.io", "rook.io"))
_DEFAULT_PREFIX = "csi-vol-"
# Rook's name for a RADOS namespace or a subvolume group is an MD5 (pkg/operator/ceph/csi, GenerateClusterID).
_NAMED_BY_ROOK = re.compile(r"[0-9a-f]{32}")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_MIGRATED = re.compile(r"mig_mons-(?P<mons>[^_]+)_image-(?P<image>[^_]+)_(?P<pool>[0-9a-fA-F]+)")
_IN_TREE_PREFIX = "kubernetes-dynamic-pvc-"
_NO_SOURCE = frozenset(("capacity", "claimRef", "nodeAffinity"))


class NotRbd(Exception):
    """The persistent volume is no RBD image; the text says what it is."""


class Unresolved(Exception):
    """The persistent volume is an RBD image, and which one cannot be told; the text says why."""


@dataclasses.dataclass(frozen=True)
class Handle:
    """What a volume handle of ceph-csi says."""

    cluster_id: str
    pool_id: int
    uuid: str


@dataclasses.dataclass(frozen=True)
class Location:
    """Where a persistent volume's image is, and by which rule that is known.

    ``form`` is one of ``ceph-csi``, ``ceph-csi-handle``, ``ceph-csi-static``, ``ceph-csi-migrated``, ``in-tree`` and
    ``rook-flex``. ``pool_id`` is the pool's id where the handle holds it: it outlives a renamed pool. ``cluster_id``
    is ceph-csi's name for the Ceph cluster (often, not always, its fsid).
    """

    spec: ImageSpec
    form: str
    pool_id: int | None = None
    cluster_id: str | None = None


def parse_handle(handle: str) -> Handle:
    """Take a ceph-csi volume handle apart; raise ValueError when it is none.

    ``0001-LLLL-<cluster id>-<pool id, 16 hex digits>-<uuid>``, where LLLL is the length of the cluster id in hex:
    a cluster id may hold hyphens, so it is the length that counts (ceph-csi, internal/util/volid.go, version 1).
    """
    if not re.match(r"0001-[0-9a-fA-F]{4}-", handle):
        raise ValueError("it does not begin with 0001- and a length")
    end = 10 + int(handle[5:9], 16)
    rest = re.fullmatch(r"-([0-9a-fA-F]{16})-(.{36})", handle[end:])
    if rest is None or not _UUID.fullmatch(rest[2]):
        raise ValueError("a cluster id of the length it gives is not followed by a pool id and a uuid")
    return Handle(handle[10:end], int(rest[1], 16), rest[2])


Known = t.Mapping[tuple[str, str], t.Collection[str]]


def rados_namespaces(persistent_volumes: t.Iterable[Object]) -> dict[tuple[str, str], set[str]]:
    """Collect which RADOS namespaces volumes made by ceph-csi show for each driver and cluster id; "" is the default.

    ceph-csi has one RADOS namespace for a cluster id, in its configuration, and writes it into the volumes it makes.
    """
    found: dict[tuple[str, str], set[str]] = {}
    for item in persistent_volumes:
        csi = item["spec"].get("csi") or {}
        attributes = csi.get("volumeAttributes") or {}
        if attributes.get("imageName") and _is_handle(csi["volumeHandle"]) and _is_ceph_csi(csi):
            key = (csi["driver"], attributes.get("clusterID", ""))
            found.setdefault(key, set()).add(attributes.get("radosNamespace") or "")
    return found


def locate(persistent_volume: Object, known: Known) -> Location:
    """Return the image of a PersistentVolume object of the right shape. Raises NotRbd and Unresolved.

    *known* is what :func:`rados_namespaces` found: not every volume says in which one it is.
    """
    spec = persistent_volume["spec"]
    if spec.get("csi") is not None:
        return _locate_csi(spec["csi"], known)
    if spec.get("rbd") is not None:
        return _locate_in_tree(spec["rbd"])
    if spec.get("flexVolume") is not None:
        return _locate_flex(persistent_volume["metadata"]["name"], spec["flexVolume"])
    kind = next(
        (key for key, value in spec.items() if isinstance(value, dict) and key not in _NO_SOURCE),
        "an unknown one",
    )
    raise NotRbd(f"the persistent volume is of kind {kind}")


def _is_handle(handle: str) -> bool:
    try:
        parse_handle(handle)
    except ValueError:
        return False
    return True


def _is_static(attributes: Object) -> bool:
    # The values that Go's ParseBool, with which ceph-csi reads it, takes for true.
    return attributes.get("staticVolume") in ("1", "t", "T", "TRUE", "true", "True")


def _is_ceph_csi(csi: Object) -> bool:
    """Whether it is an RBD volume of ceph-csi. Its driver may be called anything (ceph-csi's option --drivername)."""
    driver = csi["driver"]
    if driver == _CSI_DRIVER or driver.endswith(f".{_CSI_DRIVER}"):
        return True
    attributes = csi.get("volumeAttributes") or {}
    if not attributes.get("clusterID") or not attributes.get("pool"):
        return False
    # A shared file system of ceph-csi may name a pool too, for its data.
    if any(attributes.get(key) for key in ("fsName", "subvolumeName", "subvolumePath", "rootPath")):
        return False
    return bool(
        _is_static(attributes)
        or attributes.get("imageName")
        or attributes.get("imageFeatures")
        or _is_handle(csi["volumeHandle"])
    )


def _locate_csi(csi: Object, known: Known) -> Location:
    driver, handle = csi["driver"], csi["volumeHandle"]
    attributes = csi.get("volumeAttributes") or {}
    if not _is_ceph_csi(csi) and not _is_migrated(csi):
        raise NotRbd(f"the persistent volume is of the CSI driver {driver}")
    if _is_migrated(csi):
        return _locate_migrated(handle, attributes)
    shown = sorted(known.get((driver, attributes.get("clusterID", "")), ()))
    if _is_static(attributes):
        return _locate_static(handle, attributes, shown)
    return _locate_dynamic(handle, attributes, shown)


def _locate_static(handle: str, attributes: Object, shown: t.Sequence[str]) -> Location:
    """ceph-csi, docs/static-pvc.md and NodeStageVolume: the volume handle is the image's name.

    The RADOS namespace is that of the cluster id in ceph-csi's configuration (genVolFromVolumeOptions), whatever the
    volume itself says of it. Volumes that ceph-csi made show it.
    """
    named = attributes.get("radosNamespace") or ""
    if named and shown and list(shown) != [named]:
        raise Unresolved(
            f"it names the RADOS namespace {named!r}, but other volumes of its clusterID are in {_quoted(shown)}, and "
            "ceph-csi goes by the clusterID"
        )
    cluster_id = attributes.get("clusterID") or ""
    if not named and not shown and _NAMED_BY_ROOK.fullmatch(cluster_id):
        raise Unresolved(
            f"its clusterID {cluster_id} is one that Rook makes for a RADOS namespace; the volume does not name that, "
            "and no volume that ceph-csi made shows it. Write radosNamespace into its volumeAttributes"
        )
    place = {**attributes, "radosNamespace": named or _only(shown)}
    return Location(_spec(place, handle), "ceph-csi-static", cluster_id=cluster_id or None)


def _only(shown: t.Sequence[str]) -> str:
    """Return the RADOS namespace that the others of a cluster id show: the default one when there is no other."""
    if len(shown) > 1:
        raise Unresolved(
            f"it does not name its RADOS namespace, and other volumes of its clusterID are in {_quoted(shown)}"
        )
    return shown[0] if shown else ""


def _quoted(names: t.Sequence[str]) -> str:
    return " and ".join(repr(name) if name else "the default one" for name in names)


def _locate_dynamic(handle: str, attributes: Object, shown: t.Sequence[str]) -> Location:
    """ceph-csi, buildCreateVolumeResponse: imageName, pool and radosNamespace are written into the volume.

    Old releases wrote no imageName: there the name is the prefix and the uuid of the handle.
    """
    image = attributes.get("imageName")
    try:
        parsed = parse_handle(handle)
    except ValueError as err:
        if not image:
            raise Unresolved(
                f"volumeAttributes hold no imageName, and the volumeHandle {handle!r} is none of ceph-csi: {err}"
            ) from None
        return Location(_spec(attributes, image), "ceph-csi", cluster_id=attributes.get("clusterID"))
    if not image:
        image = (attributes.get("volumeNamePrefix") or _DEFAULT_PREFIX) + parsed.uuid
        place = {**attributes, "radosNamespace": attributes.get("radosNamespace") or _only(shown)}
        return Location(_spec(place, image), "ceph-csi-handle", parsed.pool_id, parsed.cluster_id)
    if not image.endswith(parsed.uuid):
        raise Unresolved(
            f"volumeAttributes.imageName is {image!r}, but the volumeHandle is that of ...{parsed.uuid}"
        )
    return Location(_spec(attributes, image), "ceph-csi", parsed.pool_id, parsed.cluster_id)


def _is_migrated(csi: Object) -> bool:
    attributes = csi.get("volumeAttributes") or {}
    return attributes.get("migration") == "true" or bool(_MIGRATED.fullmatch(csi["volumeHandle"]))


def _locate_migrated(handle: str, attributes: Object) -> Location:
    """``mig_mons-<hash>_image-<image without its prefix>_<pool in hex>``.

    kubernetes, csi-translation-lib/plugins/rbd.go (composeMigVolID); ceph-csi, internal/rbd/migration.go.
    """
    found = _MIGRATED.fullmatch(handle)
    named = attributes.get("imageName")
    if found is None:
        if not named:
            raise Unresolved(f"the volumeHandle {handle!r} of a migrated volume cannot be read")
        return Location(_spec(attributes, named), "ceph-csi-migrated", cluster_id=attributes.get("clusterID"))
    image = _IN_TREE_PREFIX + found["image"]
    try:
        pool = bytes.fromhex(found["pool"]).decode()
    except ValueError:
        raise Unresolved(f"the volumeHandle {handle!r} holds no pool that can be read") from None
    if named not in (None, "", image) or attributes.get("pool") not in (None, "", pool):
        raise Unresolved(
            f"the volumeHandle {handle!r} means {pool}/{image}, but volumeAttributes say "
            f"{attributes.get('pool')}/{named}"
        )
    return Location(
        _spec({**attributes, "pool": pool}, image),
        "ceph-csi-migrated",
        cluster_id=attributes.get("clusterID"),
    )


def _locate_in_tree(rbd: Object) -> Location:
    """Kubernetes' own rbd volume plugin, removed in 1.31: RBDPersistentVolumeSource, whose default pool is rbd."""
    return Location(_spec({"pool": rbd.get("pool") or "rbd"}, rbd.get("image") or ""), "in-tree")


def _locate_flex(name: str, flex: Object) -> Location:
    """Rook's flex driver: the image is called as the persistent volume (pkg/operator/ceph/provisioner/provisioner.go).

    The claim's volumeName is then the image's name. ``options.image`` says the same where it is present.
    """
    driver = flex.get("driver", "")
    if driver.split("/")[0] not in _FLEX_VENDORS:
        raise NotRbd(f"the persistent volume is of the flexVolume driver {driver}")
    options = flex.get("options") or {}
    if "pool" not in options and "fsName" in options:
        raise NotRbd("the persistent volume is a shared file system of Rook (flexVolume)")
    return Location(
        _spec(options, options.get("image") or name),
        "rook-flex",
        cluster_id=options.get("clusterNamespace") or options.get("clusterName"),
    )


def _spec(attributes: Object, image: str) -> ImageSpec:
    pool = attributes.get("pool")
    if not pool:
        raise Unresolved("the persistent volume does not name the pool")
    # What would be read as another image, another snapshot or an option of the rbd command is no name.
    for what, text in (
        ("pool", pool),
        ("image", image),
        ("RADOS namespace", attributes.get("radosNamespace") or ""),
    ):
        if not text.isprintable() or re.search(r"[/@ ]|^-", text) or (what == "image" and not text):
            raise Unresolved(f"{text!r} cannot be the name of a {what}")
    return ImageSpec(pool, attributes.get("radosNamespace") or "", image)
