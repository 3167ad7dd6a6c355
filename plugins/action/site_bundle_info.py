# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any, ClassVar

from ansible_collections.imagine.platform.plugins.plugin_utils.controller import ControllerAction
from ansible_collections.imagine.platform.plugins.plugin_utils.membership import (
    authority_fingerprint,
    check_bundle,
    now,
    open_bundle,
    operator_fingerprint,
    parse_bundle,
)


class ActionModule(ControllerAction):
    """Open the bundle that answers the request of a site."""

    hidden = True
    specification: ClassVar[dict[str, Any]] = {
        "path": {"type": "str", "required": True},
        "site": {"type": "str", "required": True},
        "request": {"type": "str", "required": True},
        "keys": {"type": "dict", "required": True, "no_log": True},
        "fingerprint": {"type": "str", "default": ""},
        "applied": {"type": "dict", "default": {}},
    }

    def act(self, options: dict[str, Any]) -> dict[str, Any]:
        path = self.place(options["path"])
        bundle = parse_bundle(path, self.need(path, "path"))
        applied = options["applied"]
        check_bundle(
            path,
            bundle,
            site=options["site"],
            request=options["request"],
            recipient=operator_fingerprint(options["keys"]),
            trusted=str(applied.get("fingerprint") or ""),
            told=options["fingerprint"],
            applied=applied,
            when=now(),
        )
        content = open_bundle(path, bundle, options["keys"])
        return {
            "changed": False,
            "federation": bundle["federation"],
            "issued": bundle["issued"],
            "expires": bundle["expires"],
            "fingerprint": authority_fingerprint(bundle),
            "settings": content.get("settings") or {},
            "credentials": content.get("credentials") or {},
        }
