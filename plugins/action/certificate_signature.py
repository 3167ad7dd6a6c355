# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail

from ansible_collections.imagine.platform.plugins.plugin_utils.controller import plain
from ansible_collections.imagine.platform.plugins.plugin_utils.direct import Direct, preload

SIGNER = "community.crypto.x509_certificate_pipe"
preload("ansible_collections.community.crypto.plugins.modules.x509_certificate_pipe", "cryptography.x509")
SPECIFICATION: dict[str, Any] = {
    "requests": {"type": "dict", "required": True},
    "authorities": {"type": "dict", "required": True, "no_log": True},
    "days": {"type": "int", "required": True},
    "backdated": {"type": "int", "default": 0},
}
OF_A_REQUEST = ("csr", "authority")
OF_AN_AUTHORITY = ("certificate", "private_key")


def refuse_missing(what: str, item: Any, needed: tuple[str, ...], remedy: str) -> None:
    """Fail where a mapping lacks a text that it needs."""
    for name in needed:
        if not isinstance(item, dict) or not isinstance(item.get(name), str) or not item[name]:
            raise AnsibleActionFail(f"{what} has no {name}; {remedy}.")


class ActionModule(Direct):
    """Signs one request after the other."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, validated = self.validate_argument_spec(argument_spec=SPECIFICATION)
        options = plain(validated)
        signed: dict[str, str] = {}
        for name, request in options["requests"].items():
            refuse_missing(f"The request {name}", request, OF_A_REQUEST, "give it both csr and authority")
            authority = options["authorities"].get(request["authority"])
            refuse_missing(
                f"The authority {request['authority']} of the request {name}",
                authority,
                OF_AN_AUTHORITY,
                "only who has its key can sign",
            )
            arguments = {
                "provider": "ownca",
                "csr_content": request["csr"],
                "ownca_content": authority["certificate"],
                "ownca_privatekey_content": authority["private_key"],
                "ownca_not_after": f"+{options['days']}d",
                "ownca_not_before": f"-{options['backdated']}s",
            }
            answer = self._execute_module(module_name=SIGNER, module_args=arguments, task_vars=task_vars)
            if answer.get("failed"):
                raise AnsibleActionFail(f"The request {name} could not be signed: {answer.get('msg')}")
            signed[name] = answer.get("certificate", "")
        result.update(changed=bool(signed), certificates=signed)
        return result
