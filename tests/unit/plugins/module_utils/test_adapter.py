# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a module says of the secrets that it was given: nothing, whatever goes wrong."""

from __future__ import annotations

import contextlib
import io
import json
import typing as t

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

from ansible_collections.rbd_backup.gfs.plugins.modules import k8s_rbd_resolve

SECRET = "kept-to-ourselves-4711"
KUBECONFIG = {"clusters": [], "contexts": [], "users": [{"name": "u", "user": {"token": SECRET}}]}
GOOD = {"workloads": [{"namespace": "shop", "deployments": "all"}], "storage_classes": ["fast"]}


def run(arguments: dict[str, t.Any]) -> dict[str, t.Any]:
    output = io.StringIO()
    with patch_module_args(arguments), contextlib.redirect_stdout(output), pytest.raises(SystemExit):
        k8s_rbd_resolve.main()
    result: dict[str, t.Any] = json.loads(output.getvalue())
    return result


@pytest.mark.parametrize("arguments", [GOOD, {}, {**GOOD, "unknown": 1}], ids=["good", "none", "unknown"])
@pytest.mark.parametrize("form", ["dictionary", "text"])
def test_a_token_inside_a_kubeconfig_is_neither_printed_nor_logged(
    arguments: dict[str, t.Any], form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[str] = []
    monkeypatch.setattr(AnsibleModule, "log", lambda _self, msg, **more: logged.append(f"{msg} {more}"))
    text = f"apiVersion: v1\nusers:\n- user:\n    token: {SECRET}\n"
    result = run({**arguments, "kubeconfig": KUBECONFIG if form == "dictionary" else text})
    assert result["failed"]
    assert SECRET not in json.dumps(result)
    assert SECRET not in "".join(logged)


def test_an_error_that_nobody_foresaw_is_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_environment: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(k8s_rbd_resolve, "run", fail)
    result = run(GOOD)
    assert result["failed"]
    assert "please report it as a defect" in result["msg"]
    assert "Traceback" not in json.dumps(result)
