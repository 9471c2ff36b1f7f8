# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules of the collection, run in this process with the options that a task would give."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import pathlib
import signal
import typing as t

import pytest
from ansible.module_utils.common import warnings
from ansible.module_utils.testing import patch_module_args

from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec
from ansible_collections.rbd_backup.gfs.tests.integration.documented import contradictions

_MODULES = "ansible_collections.rbd_backup.gfs.plugins.modules"


def volume(spec: ImageSpec, claim: str = "data") -> dict[str, t.Any]:
    """Describe an image as k8s_rbd_resolve does; its identity is left for the modules to prove."""
    return {
        "namespace": "shop",
        "claim": claim,
        "pool": spec.pool,
        "rados_namespace": spec.rados_namespace,
        "image": spec.image,
    }


class Modules:
    """Runs modules with common options: access to Ceph, the backup directory, the time zone."""

    def __init__(self, ceph: dict[str, t.Any], root: pathlib.Path, kubeconfig: str) -> None:
        self.root = root
        self.ceph = ceph
        self._access = {"ceph": ceph, "kubeconfig": kubeconfig}
        self._set = {"root": str(root), "cluster": "lab"}

    @property
    def set_path(self) -> pathlib.Path:
        """The directory of the backup set."""
        return self.root / "lab"

    def snapshot(self, specs: t.Sequence[ImageSpec], **options: t.Any) -> dict[str, t.Any]:
        """Run rbd_snapshot."""
        return self.run("rbd_snapshot", volumes=_volumes(specs), **options)

    def backup(self, specs: t.Sequence[ImageSpec], **options: t.Any) -> dict[str, t.Any]:
        """Run rbd_export_diff; the backup set is made where it is missing."""
        init = {"init": True, "timezone": "Europe/Berlin"}
        return self.run("rbd_export_diff", volumes=_volumes(specs), **{**self._set, **init, **options})

    def consolidate(self, specs: t.Sequence[ImageSpec], **options: t.Any) -> dict[str, t.Any]:
        """Run gfs_consolidate."""
        return self.run("gfs_consolidate", volumes=_volumes(specs), **{**self._set, **options})

    def restore(self, target: ImageSpec, claim: str = "data-0", **options: t.Any) -> dict[str, t.Any]:
        """Run rbd_restore for one volume into an image; what is returned of the volume is in the result itself.

        ``place`` are more options of ``target``.
        """
        place = {"pool": target.pool, "rados_namespace": target.rados_namespace, "image": target.image}
        place.update(options.pop("place", {}))
        return self.restore_to(place, claim=claim, **options)

    def restore_to(self, place: dict[str, t.Any], **options: t.Any) -> dict[str, t.Any]:
        """Run rbd_restore; what is returned of a single volume is in the result itself."""
        result = self.run("rbd_restore", target=place, **{"namespace": "shop", **self._set, **options})
        single = result["volumes"][0] if len(result.get("volumes", ())) == 1 else {}
        return {**result, **single}

    def protect(self, claim: str = "data-0", **options: t.Any) -> dict[str, t.Any]:
        """Run rbd_protect."""
        return self.run("rbd_protect", namespace="shop", claim=claim, **{**self._set, **options})

    def info(self, **options: t.Any) -> dict[str, t.Any]:
        """Run rbd_backup_info without Ceph unless told otherwise."""
        return self.run("rbd_backup_info", **{"ceph": None, **self._set, **options})

    def verify(self, **options: t.Any) -> dict[str, t.Any]:
        """Run rbd_backup_verify, with Ceph only where the mode needs it."""
        ceph = self.ceph if options.get("mode") == "deep" else None
        return self.run("rbd_backup_verify", **{"ceph": ceph, **self._set, **options})

    def run(
        self, module: str, /, check_mode: bool = False, diff: bool = False, **options: t.Any
    ) -> dict[str, t.Any]:
        """Run a module and return its result, which must be as it is documented."""
        arguments = {**self._access, **options, "_ansible_check_mode": check_mode, "_ansible_diff": diff}
        warnings._global_warnings.clear()  # of the module that ran before in this process
        source = importlib.import_module(f"{_MODULES}.{module}")
        output = io.StringIO()
        with patch_module_args(arguments), contextlib.redirect_stdout(output), pytest.raises(SystemExit):
            source.main()
        result: dict[str, t.Any] = json.loads(output.getvalue())
        assert contradictions(source.RETURN, result) == []
        return result

    def run_and_die(self, step: t.Callable[[], t.Any], prepare: t.Callable[[], None]) -> bool:
        """Do *step* in a process of its own after *prepare*, which may arrange for its death by SIGKILL.

        Returns whether it died.
        """
        child = os.fork()
        if child == 0:
            try:
                prepare()
                step()
                os._exit(0)
            except BaseException:
                os._exit(1)
        _pid, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL
            return True
        assert os.WEXITSTATUS(status) == 0
        return False


def _volumes(specs: t.Sequence[ImageSpec]) -> list[dict[str, t.Any]]:
    return [volume(spec, f"data-{number}") for number, spec in enumerate(specs)]
