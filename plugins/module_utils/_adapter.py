# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only file that knows AnsibleModule: options in; results, warnings and errors out."""

from __future__ import annotations

import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.each_volume import describe
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.environment import Environment, Outcome
from ansible_collections.rbd_backup.gfs.plugins.module_utils._argument_specs import ACCESS
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import BackupError, MissingLibrary
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.kubeconfig import secrets_in


class _Module(AnsibleModule):
    """Knows of the secrets inside a kubeconfig before it logs anything, or fails over its arguments."""

    def _log_invocation(self) -> None:
        self._hide_secrets()
        super()._log_invocation()

    def fail_json(self, *args: t.Any, **kwargs: t.Any) -> None:
        """Fail the task."""
        self._hide_secrets()
        super().fail_json(*args, **kwargs)

    def _hide_secrets(self) -> None:
        self.no_log_values.update(secrets_in(self.params.get("kubeconfig")))


def run_module(
    action: t.Callable[[Environment], Outcome], options: t.Mapping[str, t.Any], **constraints: t.Any
) -> None:
    """Run *action* as the module that Ansible called.

    *options* is the argument spec, in which the ways to Kubernetes and to Ceph need not be named; *constraints* are
    AnsibleModule's (``required_if``, ...). The task fails when a volume failed, after all the others were done;
    ``failures`` names each.
    """
    module = _Module(argument_spec={**ACCESS, **options}, supports_check_mode=True, **constraints)
    environment = Environment(module.params, module.check_mode)
    try:
        outcome = action(environment)
    except MissingLibrary as error:
        module.fail_json(msg=f"{error.message} {missing_required_lib(error.details['library'])}")
    except BackupError as error:
        module.fail_json(msg=error.message, details=error.details)
    except Exception as error:  # no traceback ever reaches a user
        module.fail_json(msg=describe(error))
    finally:
        environment.close()
    for warning in outcome.warnings:
        module.warn(warning)
    result = dict(outcome.values, changed=outcome.changed)
    if outcome.failures is not None:
        result["failures"] = outcome.failures
    if outcome.diff is not None and module._diff:  # pylint: disable=protected-access
        result["diff"] = outcome.diff
    if outcome.fatal or outcome.failures:
        summary = _summary(outcome.failures) if outcome.failures else None
        module.fail_json(msg="\n".join(filter(None, (outcome.fatal, summary))), **result)
    module.exit_json(**result)


def _summary(failures: list[dict[str, t.Any]]) -> str:
    lines = [f"{len(failures)} volume(s) failed; the others, if any, were worked on."]
    lines += [
        f"{item['namespace']}/{item['claim']} ({item['image']}): {item['message']}" for item in failures
    ]
    return "\n".join(lines)
