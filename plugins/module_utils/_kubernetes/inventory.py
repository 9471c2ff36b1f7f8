# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the option ``workloads``. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import InvalidInput

_NEXT = "Nothing was asked of Kubernetes."


@dataclasses.dataclass
class Request:
    """What is wanted of one namespace: named workloads, those with certain labels, or everything."""

    namespace: str
    names: list[str] = dataclasses.field(default_factory=list)
    selector: dict[str, t.Any] | None = None
    everything: bool = False


def read_requests(workloads: t.Sequence[t.Mapping[str, t.Any]]) -> list[Request]:
    """Return one Request a namespace, in the order of the inventory; entries of one namespace are joined.

    Raises InvalidInput for an entry that cannot be read.
    """
    requests: dict[str, Request] = {}
    for entry in workloads:
        namespace = entry.get("namespace")
        if not isinstance(namespace, str) or not namespace or "/" in namespace:
            raise InvalidInput(f"An entry of workloads has no usable namespace: {dict(entry)!r}. {_NEXT}")
        unknown = set(entry) - {"namespace", "deployments"}
        if unknown:
            raise InvalidInput(
                f"The entry for the namespace {namespace} in workloads has unknown keys: {', '.join(sorted(unknown))}. "
                f"It takes namespace and deployments. {_NEXT}"
            )
        _add(requests.setdefault(namespace, Request(namespace)), entry.get("deployments"))
    if not requests:
        raise InvalidInput(f"workloads is empty: there is nothing to back up. {_NEXT}")
    return list(requests.values())


def _add(request: Request, deployments: t.Any) -> None:
    if deployments == "all":
        request.everything = True
    elif (
        isinstance(deployments, dict)
        and deployments
        and set(deployments) <= {"matchLabels", "matchExpressions"}
    ):
        if request.selector is not None:
            raise InvalidInput(
                f"The namespace {request.namespace} has two label selectors in workloads. {_NEXT}"
            )
        _check_selector(request.namespace, deployments)
        request.selector = deployments
    elif (
        isinstance(deployments, list)
        and deployments
        and all(isinstance(name, str) and name for name in deployments)
    ):
        request.names += [name for name in deployments if name not in request.names]
    else:
        raise InvalidInput(
            f"deployments of the namespace {request.namespace} is neither a list of names of Deployments and "
            f"StatefulSets, nor the word all, nor a label selector (matchLabels, matchExpressions): {deployments!r}. "
            f"{_NEXT}"
        )


def _check_selector(namespace: str, selector: t.Mapping[str, t.Any]) -> None:
    labels = selector.get("matchLabels")
    expressions = selector.get("matchExpressions")
    good = labels is None or (
        isinstance(labels, dict) and all(isinstance(value, str) for value in labels.values())
    )
    good = good and (expressions is None or isinstance(expressions, list))
    if not (good and all(_is_expression(expression) for expression in expressions or ())):
        raise InvalidInput(
            f"The label selector of the namespace {namespace} in workloads is none of Kubernetes: {dict(selector)!r}. "
            'matchLabels maps names to texts (write "true" with quotes); an item of matchExpressions has key, '
            f"operator (In, NotIn, Exists, DoesNotExist) and, for In and NotIn, a list of values. {_NEXT}"
        )


def _is_expression(expression: t.Any) -> bool:
    if not isinstance(expression, dict) or not isinstance(expression.get("key"), str):
        return False
    values = expression.get("values")
    if expression.get("operator") in ("In", "NotIn"):
        return isinstance(values, list) and bool(values) and all(isinstance(value, str) for value in values)
    return expression.get("operator") in ("Exists", "DoesNotExist") and not values
