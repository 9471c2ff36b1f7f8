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


def check_manifests(
    environment: Environment, options: t.Mapping[str, t.Any] | None, manifests: t.Iterable[Object]
) -> None:
    """Have the API server validate what will be applied, and keep nothing of it. Raises KubernetesError."""
    if options and options["apply"]:
        for item in manifests:
            try:
                _create(environment, item, dry_run=True)
            except KubernetesError as error:
                error.message += " Nothing was touched."
                raise


def check_file(options: t.Mapping[str, t.Any] | None) -> None:
    """Refuse a file that exists. Raises ArchiveError, InvalidInput."""
    if options and options["file"]:
        check_new_file(options["file"])


def apply_manifests(
    environment: Environment, options: t.Mapping[str, t.Any] | None, manifests: t.Iterable[Object]
) -> None:
    """Create the objects where that was asked for. Raises HalfDone, for the image is restored by now."""
    if not options or not options["apply"]:
        return
    made: list[str] = []
    for item in manifests:
        try:
            _create(environment, item, dry_run=False)
        except KubernetesError as error:
            raise HalfDone(
                f"{error.message} The image is restored and complete; of its objects {', '.join(made) or 'none'} was "
                "created. Create what is missing by hand, or remove the image and what was created and run again."
            ) from error
        made.append(what(item))


def write_manifests(options: t.Mapping[str, t.Any] | None, manifests: t.Sequence[Object]) -> None:
    """Write all `manifests` as one list that ``kubectl apply -f`` takes. Raises ArchiveError, InvalidInput."""
    if not options or not options["file"] or not manifests:
        return
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)}, indent=2) + "\n"
    with new_file(options["file"], "The images are restored and complete.") as file:
        file.write(text.encode("ascii"))


def _create(environment: Environment, item: Object, dry_run: bool) -> None:
    namespace = item["metadata"].get("namespace")
    path = (
        f"/api/v1/namespaces/{namespace}/persistentvolumeclaims" if namespace else "/api/v1/persistentvolumes"
    )
    try:
        environment.cluster().create(path, item, dry_run)
    except KubernetesError as error:
        error.message = f"{what(item)} cannot be created: {error.message}"
        advice = {
            "exists": " Remove it where it is not needed any more, or choose other names in manifests.",
            "forbidden": " For manifests with apply the account needs the rules of examples/rbac-restore.yaml as well.",
        }
        error.message += advice.get(error.details.get("kind", ""), "")
        raise


def what(item: Object) -> str:
    """Name an object for people."""
    metadata = item["metadata"]
    return f"{item['kind']} {'/'.join(filter(None, (metadata.get('namespace'), metadata['name'])))}"
