# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
from typing import Any, ClassVar

from ansible_collections.imagine.platform.plugins.plugin_utils.controller import ControllerAction
from ansible_collections.imagine.platform.plugins.plugin_utils.membership import (
    MembershipError,
    authority_fingerprint,
    build_bundle,
    bundle_text,
    digest,
    now,
    parse_bundle,
    parse_request,
    request_fingerprint,
    same_fingerprint,
    spoken,
    stale_reason,
)


class ActionModule(ControllerAction):
    """Write the bundle that answers a request, and leave one alone that still does."""

    specification: ClassVar[dict[str, Any]] = {
        "path": {"type": "str", "required": True},
        "request": {"type": "str", "required": True},
        "fingerprint": {"type": "str", "required": True},
        "federation": {"type": "str", "required": True},
        "settings": {"type": "dict", "required": True},
        "credentials": {"type": "dict", "default": {}, "no_log": True},
        "authority": {"type": "dict", "required": True, "no_log": True},
        "valid_hours": {"type": "int", "default": 168},
    }

    def act(self, options: dict[str, Any]) -> dict[str, Any]:
        if options["valid_hours"] < 1:
            raise MembershipError(f"valid_hours is {options['valid_hours']}; give one hour or more.")
        path, request_path = self.place(options["path"]), self.place(options["request"])
        request = parse_request(request_path, self.need(request_path, "request"))
        if not same_fingerprint(options["fingerprint"], request_fingerprint(request)):
            raise MembershipError(
                f"{request_path} has the fingerprint {spoken(request_fingerprint(request))} and not "
                f"{options['fingerprint']}, which was compared; nothing was written. Compare again."
            )
        before = self.read(path)
        inputs = digest(options["settings"])
        reason = "there is none" if before is None else self._reason(path, before, request, options, inputs)
        result: dict[str, Any] = {"changed": bool(reason), "path": path, "reason": reason}
        if reason and not self._task.check_mode:
            bundle = build_bundle(
                request,
                {"settings": options["settings"], "credentials": options["credentials"]},
                options["authority"],
                options["federation"],
                inputs,
                datetime.timedelta(hours=options["valid_hours"]),
            )
            self.write(path, bundle_text(bundle), 0o644)
        elif before is not None and not reason:
            bundle = parse_bundle(path, before)
        else:
            return result
        fingerprint = authority_fingerprint(bundle)
        return {**result, "expires": bundle["expires"], "fingerprint": fingerprint, "spoken": spoken(fingerprint)}

    def _reason(self, path: str, before: bytes, request: dict[str, Any], options: dict[str, Any], inputs: str) -> str:
        """Why the bundle has to be written again, or nothing."""
        try:
            bundle = parse_bundle(path, before)
        except MembershipError:
            return "the file is damaged"
        return stale_reason(bundle, request, str(options["authority"].get("certificate")), inputs, now())
