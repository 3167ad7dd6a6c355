# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges on the controller what was read of a federation, shows it, and writes it down."""

from __future__ import annotations

import datetime
import json
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail

from ansible_collections.imagine.platform.plugins.action import inventory_findings as inventory
from ansible_collections.imagine.platform.plugins.module_utils import inventory as checks
from ansible_collections.imagine.platform.plugins.module_utils import status, status_page, status_text
from ansible_collections.imagine.platform.plugins.module_utils.certificates import CRYPTOGRAPHY_ERROR
from ansible_collections.imagine.platform.plugins.module_utils.files import FilesError, parse_mode, write_file
from ansible_collections.imagine.platform.plugins.module_utils.vocabulary import VARIABLES
from ansible_collections.imagine.platform.plugins.plugin_utils.controller import plain


class ActionModule(inventory.ActionModule):
    """Reads the inventory as inventory_findings does, and puts it beside what machines and API said."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Entry point."""
        result: dict[str, Any] = super(inventory.ActionModule, self).run(tmp, task_vars)
        task_vars = task_vars or {}
        limits = status.Thresholds()
        _validation, options = self.validate_argument_spec(
            argument_spec={
                "machines": {"type": "dict", "required": True},
                "answers": {"type": "dict", "default": {}},
                "page": {"type": "path"},
                "data": {"type": "path"},
                "mode": {"type": "str", "default": "0600"},
                "title": {"type": "str", "default": "Federation"},
                "show": {"type": "bool", "default": True},
                "unmanaged_groups": {"type": "list", "elements": "str", "default": ["unmanaged"]},
                "minimum_disk_mb": {"type": "int", "default": limits.minimum_disk_mb},
                "disk_warning_percent": {"type": "float", "default": limits.disk_warning_percent},
                "certificate_days": {"type": "int", "default": limits.certificate_days},
                "authority_days": {"type": "int", "default": limits.authority_days},
                "maximum_clock_offset": {"type": "float", "default": limits.clock_offset},
            },
        )
        if CRYPTOGRAPHY_ERROR:
            raise AnsibleActionFail("The controller's Python lacks cryptography: install it beside ansible-core.")
        report = status.report(self._seen(task_vars, options))
        text = status_text.render(report)
        page = status_page.render(report, options["title"])
        changed = False
        try:
            mode = parse_mode(options["mode"], options["page"] or "the page")
            if options["page"]:
                changed = self._write(options["page"], page, mode)
            if options["data"]:
                self._write(options["data"], json.dumps(report, indent=2, sort_keys=True) + "\n", mode)
        except FilesError as error:
            raise AnsibleActionFail(str(error)) from None
        except OSError as error:
            place = error.filename or options["page"]
            raise AnsibleActionFail(f"{place} cannot be written ({error.strerror}): name another place.") from None
        if options["show"]:
            self._display.display(f"\n{text}")
        result.update(changed=changed, report=report, healthy=report["healthy"], verdict=status_text.verdict(report))
        return result

    def _seen(self, task_vars: Mapping[str, Any], options: Mapping[str, Any]) -> status.Seen:
        """What the inventory says, beside what was read."""
        names, defaults, prefixes = inventory.role_variables()
        known = {*names, *VARIABLES}
        nodes = list(self._nodes(task_vars, set(options["unmanaged_groups"]), known, {*prefixes, *checks.PREFIXES}))
        nodes = [node for node in nodes if node.roles and node.site]
        vos: Any = next((node.get("federation_vos") for node in nodes if node.get("federation_vos")), [])
        return status.Seen(
            nodes=sorted(nodes, key=lambda node: (node.site, "server" not in node.roles, node.name)),
            machines=plain(options["machines"]),
            answers=plain(options["answers"]),
            vos=[vo for vo in vos if isinstance(vo, Mapping)],
            inventory=" ".join(
                f"-i {shlex.quote(inventory.shorten(str(source)))}"
                for source in task_vars.get("ansible_inventory_sources") or []
            ),
            now=datetime.datetime.now(datetime.timezone.utc),
            defaults={name: value for name, value in defaults.items() if "{{" not in str(value)},
            thresholds=status.Thresholds(
                minimum_disk_mb=options["minimum_disk_mb"],
                disk_warning_percent=options["disk_warning_percent"],
                certificate_days=options["certificate_days"],
                authority_days=options["authority_days"],
                renew_fraction=float(defaults.get("certificates_renew_fraction", 0.667)),
                clock_offset=options["maximum_clock_offset"],
            ),
        )

    def _write(self, path: str, text: str, mode: int | None) -> bool:
        """Write a file of the report; whether it says something else than before, its time aside."""
        place = Path(os.path.expanduser(path))
        before = place.read_text(encoding="utf-8", errors="replace") if place.exists() else ""
        if not self._task.check_mode:
            place.parent.mkdir(parents=True, exist_ok=True)
            write_file(None, str(place.resolve()), text.encode(), mode=mode)
        return status_page.without_time(before) != status_page.without_time(text)
