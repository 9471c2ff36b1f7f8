# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of targets that are made of what is restored: ``restored-{claim}``."""

from __future__ import annotations

import re

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.choice import Choice
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import InvalidInput

PLACEHOLDERS = ("namespace", "claim", "image", "image_id", "restore_point")


def fill_in(template: str, choice: Choice) -> str:
    """Replace the placeholders of *template* by what is true of *choice*. Raises InvalidInput for an unknown one."""
    origin = choice.directory.description["volume"]
    values = {
        "namespace": origin["namespace"],
        "claim": origin["claim"],
        "image": origin["image"],
        "image_id": choice.directory.identity.image_id,
        "restore_point": choice.snapshot,
    }

    def value(match: re.Match[str]) -> str:
        found = values.get(match[1])
        if found is None:
            raise InvalidInput(
                f"{template!r} holds the placeholder {match[0]}, which is none of "
                f"{', '.join('{' + name + '}' for name in PLACEHOLDERS)}. Nothing was touched."
            )
        return str(found)

    return re.sub(r"\{(.*?)\}", value, template)
