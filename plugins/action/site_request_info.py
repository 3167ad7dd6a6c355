# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any, ClassVar

from ansible_collections.imagine.platform.plugins.plugin_utils.controller import ControllerAction
from ansible_collections.imagine.platform.plugins.plugin_utils.membership import (
    datacenter_row,
    gpu_rows,
    judge_request,
    key_fingerprint,
    parse_request,
    request_fingerprint,
    same_fingerprint,
    spoken,
)


class ActionModule(ControllerAction):
    """Read the request of a site, and say what is wrong with it."""

    specification: ClassVar[dict[str, Any]] = {
        "path": {"type": "str", "required": True},
        "fingerprint": {"type": "str"},
        "region": {"type": "str", "default": "global"},
        "vos": {"type": "list", "elements": "dict", "default": []},
    }

    def act(self, options: dict[str, Any]) -> dict[str, Any]:
        path = self.place(options["path"])
        request = parse_request(path, self.need(path, "path"))
        fingerprint = request_fingerprint(request)
        problems = judge_request(request, options["region"], options["vos"])
        return {
            "changed": False,
            "request": {key: request[key] for key in ("created", "site", "nodes")},
            "fingerprint": fingerprint,
            "spoken": spoken(fingerprint),
            "confirmed": same_fingerprint(options["fingerprint"] or "", fingerprint),
            "key_fingerprint": key_fingerprint(request["keys"]),
            "problems": problems,
            "datacenters_rows": [] if problems else [datacenter_row(request["site"])],
            "gpu_models_rows": [] if problems else gpu_rows(request["nodes"]),
        }
