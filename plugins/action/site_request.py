# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any, ClassVar

from ansible_collections.imagine.platform.plugins.plugin_utils.controller import ControllerAction
from ansible_collections.imagine.platform.plugins.plugin_utils.membership import (
    MembershipError,
    as_text,
    build_request,
    key_fingerprint,
    now,
    parse_request,
    request_fingerprint,
    request_meaning,
    request_text,
    spoken,
)


class ActionModule(ControllerAction):
    """Write the request of a site, and leave one alone that asks for the same."""

    specification: ClassVar[dict[str, Any]] = {
        "path": {"type": "str", "required": True},
        "site": {"type": "dict", "required": True},
        "nodes": {"type": "list", "elements": "dict", "required": True},
        "keys": {"type": "dict", "required": True, "no_log": True},
    }

    def act(self, options: dict[str, Any]) -> dict[str, Any]:
        path = self.place(options["path"])
        before = self.read(path)
        request = build_request(options["site"], options["nodes"], options["keys"], as_text(now()))
        present = None
        if before is not None:
            try:
                present = parse_request(path, before)
            except MembershipError:
                # It says nothing that anybody would accept.
                present = None
        changed = present is None or request_meaning(present) != request_meaning(request)
        if present is not None and not changed:
            request = present
        else:
            self.write(path, request_text(request), 0o644)
        return {
            "changed": changed,
            "path": path,
            "fingerprint": request_fingerprint(request),
            "spoken": spoken(request_fingerprint(request)),
            "key_fingerprint": key_fingerprint(request["keys"]),
            "diff": self.difference(path, before, request_text(request)) if changed else [],
        }
