# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Kubernetes side of a restore: manifests for the restored image, returned, written to a file or applied."""

from __future__ import annotations

import json
import os
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.choice import Choice
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.environment import Environment
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.restore_names import fill_in
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.restore_raw import check_raw
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.files import (
    open_temporary,
    os_errors,
    remove_if_there,
    sync_directory,
    write_all,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.problems import UNWRITABLE
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import KubernetesError
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
        _apply(environment, manifests, dry_run=True, done=" Nothing was touched.")


def check_file(options: t.Mapping[str, t.Any] | None) -> None:
    """Refuse a file that exists. Raises ArchiveError, InvalidInput."""
    if options and options["file"]:
        check_raw(options["file"])


def apply_manifests(
    environment: Environment, options: t.Mapping[str, t.Any] | None, manifests: t.Iterable[Object]
) -> None:
    """Create the objects where that was asked for. Raises KubernetesError."""
    if options and options["apply"]:
        _apply(environment, manifests, dry_run=False, done=" The image is restored and complete.")


def write_manifests(options: t.Mapping[str, t.Any] | None, manifests: t.Sequence[Object]) -> None:
    """Write all `manifests` as one list that ``kubectl apply -f`` takes. Raises ArchiveError."""
    if not options or not options["file"] or not manifests:
        return
    path = os.path.abspath(options["file"])
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)}, indent=2) + "\n"
    with os_errors("write", path, UNWRITABLE, "The images are restored and complete."):
        descriptor, temporary = open_temporary(path)
        try:
            try:
                write_all(descriptor, text.encode("ascii"))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.rename(temporary, path)
            sync_directory(os.path.dirname(path))
        except BaseException:
            remove_if_there(temporary)
            raise


def _apply(environment: Environment, manifests: t.Iterable[Object], dry_run: bool, done: str) -> None:
    for item in manifests:
        namespace = item["metadata"].get("namespace")
        path = (
            f"/api/v1/namespaces/{namespace}/persistentvolumeclaims"
            if namespace
            else "/api/v1/persistentvolumes"
        )
        try:
            environment.cluster().create(path, item, dry_run)
        except KubernetesError as error:
            error.message = (
                f"{item['kind']} {item['metadata']['name']} cannot be created: {error.message}{done}"
            )
            if error.details.get("kind") == "exists":
                error.message += (
                    " Remove it where it is not needed any more, or choose other names in manifests."
                )
            raise
