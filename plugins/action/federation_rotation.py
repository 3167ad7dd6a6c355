# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail

from ansible_collections.imagine.platform.plugins.action.federation_secrets import ActionModule as SecretsAction
from ansible_collections.imagine.platform.plugins.module_utils.certificates import UTC
from ansible_collections.imagine.platform.plugins.module_utils.rotation import (
    begin,
    finish,
    flatten,
    promote,
    retire,
    settle,
    stages,
)

STEPS = ("begin", "promote", "settle", "retire", "finish")


class ActionModule(SecretsAction):
    """Take the rotation of secrets one step further, in the file on the controller."""

    _VALID_ARGS = frozenset(("path", "secrets", "step", "minimum_age"))
    _SECRETS = "secrets"

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        # In check mode nothing was written: the step before this one is known from its facts.
        known = (task_vars or {}).get("federation_secrets") if self._task.check_mode else None
        self._predicted: dict[str, Any] | None = None if known is None else json.loads(json.dumps(known))
        return super().run(tmp, task_vars)

    def _read(self, path: str) -> tuple[dict[str, Any], str, Any]:
        values, vault_id, secret = super()._read(path)
        return values if self._predicted is None else self._predicted, vault_id, secret

    def _change(
        self, present: dict[str, Any], wanted: Mapping[str, Any], path: str
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        step = self._task.args.get("step")
        if step not in STEPS:
            raise AnsibleActionFail(f'The step "{step}" is unknown; use one of {", ".join(STEPS)}.')
        try:
            age = float(self._task.args.get("minimum_age") or 0)
        except (TypeError, ValueError):
            given = self._task.args["minimum_age"]
            raise AnsibleActionFail(f'The minimum_age "{given}" is not a number; give it seconds.') from None
        now = datetime.datetime.now(UTC)
        names = flatten(wanted)
        if step == "begin":
            values, taken = begin(present, wanted, path, now, age)
        elif step == "finish":
            values, taken = finish(present, names, now)
        else:
            values, taken = {"promote": promote, "settle": settle, "retire": retire}[step](present, names)
        return values, {"changed": bool(taken), "taken": taken, "rotations": stages(values, names)}
