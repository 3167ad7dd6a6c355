#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: consul_config_entry_info
short_description: List configuration entries of Consul
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Lists the configuration entries of one kind, with one request.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.attributes.info
  - imagine.platform.consul
options:
  kind:
    description: Kind of the entries, for instance V(service-defaults). Consul has no list over all kinds.
    type: str
    required: true
  names:
    description:
      - Names of the entries to list; all of the kind when not given.
      - Those that do not exist are left out.
    type: list
    elements: str
seealso:
  - module: imagine.platform.consul_config_entry
"""

EXAMPLES = r"""
- name: List all intentions
  imagine.platform.consul_config_entry_info:
    kind: service-intentions
  register: intentions

- name: Look at what holds for all proxies
  imagine.platform.consul_config_entry_info:
    kind: proxy-defaults
    names: [global]
"""

RETURN = r"""
config_entries:
  description: The entries, ordered by name.
  returned: success
  type: list
  elements: dict
  contains:
    kind:
      description: Kind of the entry.
      type: str
      sample: service-defaults
    name:
      description: Name of the entry.
      type: str
      sample: mlflow
    config:
      description: Its settings under Consul's own names; private keys appear as the first digits of their SHA-256 sum.
      type: dict
      sample: {Protocol: http}
    modify_index:
      description: Index of the last change.
      type: int
      sample: 42
"""

from typing import Any

from ansible_collections.imagine.platform.plugins.module_utils.consul import ConsulClient, create_module, run_module
from ansible_collections.imagine.platform.plugins.module_utils.consul_config import ConfigEntries, hide, settings
from ansible_collections.imagine.platform.plugins.module_utils.crud import Json


def collect(module: Any, client: ConsulClient) -> Json:
    """The entries that were asked for."""
    kind, names = module.params["kind"], module.params["names"]
    entries = ConfigEntries(client)
    for name in names or ["any"]:
        entries.validate({"kind": kind, "name": name, "config": None})
    found = entries.find(kind, names[0] if names and len(names) == 1 else None)
    return {
        "changed": False,
        "config_entries": [
            {
                "kind": kind,
                "name": raw["Name"],
                "config": hide(settings(raw)),
                "modify_index": raw["ModifyIndex"],
            }
            for raw in sorted(found, key=lambda raw: str(raw["Name"]))
            if names is None or raw["Name"] in names
        ],
    }


def main() -> None:
    module = create_module(
        {"kind": {"type": "str", "required": True}, "names": {"type": "list", "elements": "str"}},
    )
    run_module(module, collect)


if __name__ == "__main__":
    main()
