# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Kubernetes side of a restore: manifests for the restored image, returned, written to a file or applied."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.choice import Choice
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.environment import Environment
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.new_file import check_new_file, new_file
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.restore_names import fill_in
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import HalfDone, KubernetesError
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.client import Cluster
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.same_object import is_same
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.static_volume import (
    Object,
    Wanted,
    static_volume,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec


def manifests_for(
    choice: Choice, spec: ImageSpec, options: t.Mapping[str, t.Any] | None
) -> tuple[Object, ...]:
    """The manifests for the image *spec*; none where the option ``manifests`` is not given. Raises InvalidInput."""
    if options is None:
        return ()
    keys = ("namespace", "claim", "persistent_volume", "storage_class", "cluster_id")
    given = {key: None if options[key] is None else fill_in(options[key], choice) for key in keys}
    return static_volume(choice.directory.description, spec, choice.chain[-1].to.size, Wanted(**given))


def is_applied(options: t.Mapping[str, t.Any] | None) -> bool:
    """Whether objects are to be created."""
    return bool(options and options["apply"])


def check_manifests(environment: Environment, manifests: t.Iterable[Object]) -> None:
    """Have the API server validate what will be applied, and keep nothing of it. Raises KubernetesError."""
    for item in manifests:
        _create(environment, item, dry_run=True)


def check_file(options: t.Mapping[str, t.Any] | None) -> None:
    """Refuse a file that exists. Raises ArchiveError, InvalidInput."""
    if options and options["file"]:
        check_new_file(options["file"])


def apply_manifests(environment: Environment, manifests: t.Sequence[Object]) -> None:
    """Create the objects that are not there. Raises HalfDone, for the image is restored by now."""
    made: list[str] = []
    try:
        # again, all before the first: much may have changed while the image was restored
        check_manifests(environment, manifests)
        # the claim first: another one of its name would take the volume, and could not give it back
        for item in sorted(manifests, key=lambda item: str(item["kind"]), reverse=True):
            if _create(environment, item, dry_run=False):
                made.append(what(item))
    except KubernetesError as error:
        raise HalfDone(
            f"{error.message} The image is restored and complete; of its objects {', '.join(made) or 'none'} was "
            "created. Remove the cause and run the same restore again, of the same restore point: it keeps what is "
            "there, and goes on with what is missing."
        ) from error


def write_manifests(options: t.Mapping[str, t.Any] | None, manifests: t.Sequence[Object]) -> None:
    """Write all `manifests` as one list that ``kubectl apply -f`` takes. Raises ArchiveError, InvalidInput."""
    if not options or not options["file"] or not manifests:
        return
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)}, indent=2) + "\n"
    with new_file(options["file"], "The images are restored and complete.") as file:
        file.write(text.encode("ascii"))


def _create(environment: Environment, item: Object, dry_run: bool) -> bool:
    """Create an object and return True; False where it is there as an earlier run of the same restore has made it."""
    namespace = item["metadata"].get("namespace")
    path = (
        f"/api/v1/namespaces/{namespace}/persistentvolumeclaims" if namespace else "/api/v1/persistentvolumes"
    )
    cluster = environment.cluster()
    try:
        cluster.create(path, item, dry_run)
        return True
    except KubernetesError as error:
        if error.details.get("kind") == "exists" and _is_there(cluster, path, item):
            return False
        error.message = f"{what(item)} cannot be created: {error.message}"
        advice = {
            "exists": " Remove it where it is not needed any more, or choose other names in manifests.",
            "forbidden": " For manifests with apply the account needs the rules of examples/rbac-restore.yaml as well.",
        }
        error.message += advice.get(error.details.get("kind", ""), "")
        raise


def _is_there(cluster: Cluster, path: str, item: Object) -> bool:
    query = [("fieldSelector", f"metadata.name={item['metadata']['name']}")]
    try:
        found = cluster.get(path, query)  # a list, for that is what examples/rbac.yaml allows
    except KubernetesError:
        return False  # then it counts as somebody else's
    return any(is_same(item, there) for there in found.get("items") or ())


def what(item: Object) -> str:
    """Name an object for people."""
    metadata = item["metadata"]
    return f"{item['kind']} {'/'.join(filter(None, (metadata.get('namespace'), metadata['name'])))}"
