#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: consul_config_entry
short_description: Manage configuration entries of Consul
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Creates, updates and deletes configuration entries of Consul, one by its options or many in one call with
    O(config_entries).
  - Every write is a check-and-set. Where somebody else changed the entry meanwhile, the module begins again with what
    is there now, so that neither change is lost.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.consul
attributes:
  check_mode:
    support: full
    details: Consul judges the settings only when they are written.
  diff_mode:
    support: full
    details: Private keys appear as the first digits of their SHA-256 sum.
  idempotent:
    support: full
options:
  kind:
    description:
      - Kind of the entry, for instance V(proxy-defaults), V(service-defaults), V(service-intentions) or V(mesh).
      - Required with O(name).
    type: str
  name:
    description:
      - Name of the entry. For many kinds it is that of a service; V(proxy-defaults) has one entry named V(global),
        V(mesh) one named V(mesh).
      - Exactly one of O(name) and O(config_entries) is required.
    type: str
  config:
    description:
      - Settings of the entry, under the names of Consul's HTTP API, for instance C(Protocol) or C(MeshGateway).
      - Mappings are merged into what is there, so that settings that are not given are kept. Lists are replaced whole.
      - A setting whose value is V(null) is removed.
      - A private key, as in V(inline-certificate), is not shown in results and diff; set C(no_log) on the task to keep
        it out of the log of the module's arguments as well.
    type: dict
  state:
    description: Whether the entries are to exist.
    type: str
    choices: [present, absent]
    default: present
  config_entries:
    description:
      - The entries to manage, where there are several.
      - Written in this order; an entry that others refer to comes first, and is deleted last.
    type: list
    elements: dict
    suboptions:
      kind:
        description: As O(kind).
        type: str
        required: true
      name:
        description: As O(name).
        type: str
        required: true
      config:
        description: As O(config).
        type: dict
      state:
        description: Whether this entry is to exist; O(state) when not given.
        type: str
        choices: [present, absent]
seealso:
  - module: imagine.platform.consul_config_entry_info
"""

EXAMPLES = r"""
- name: Let all services of the mesh speak HTTP
  imagine.platform.consul_config_entry:
    kind: proxy-defaults
    name: global
    config:
      Config: {protocol: http}
      MeshGateway: {Mode: local}

- name: Allow one service to call another, and take an old rule away
  imagine.platform.consul_config_entry:
    config_entries:
      - kind: service-intentions
        name: mlflow
        config:
          Sources:
            - {Name: dashboard, Action: allow}
      - kind: service-intentions
        name: retired
        state: absent
"""

RETURN = r"""
operation:
  description: What was done to the entry, or would be in check mode.
  returned: when O(name) is given
  type: str
  sample: create
config_entry:
  description: The entry as it is now; empty when absent.
  returned: when O(name) is given
  type: dict
  sample:
    kind: service-defaults
    name: mlflow
    config: {Protocol: http}
config_entries:
  description: The entries as they are now, each with the RV(ignore:operation) that was done.
  returned: when O(config_entries) is given
  type: list
  elements: dict
  sample:
    - kind: service-defaults
      name: mlflow
      config: {Protocol: http}
      operation: create
"""

from collections.abc import Mapping
from typing import Any

from ansible_collections.imagine.platform.plugins.module_utils.consul import create_module, run_objects
from ansible_collections.imagine.platform.plugins.module_utils.consul_config import ConfigEntries, secrets_of
from ansible_collections.imagine.platform.plugins.module_utils.crud import Json, ObjectModule

FIELDS: Json = {"name": {"type": "str"}, "kind": {"type": "str"}, "config": {"type": "dict"}}


def configs(params: Mapping[str, Any]) -> list[Any]:
    """All settings that were given."""
    return [params["config"], *(item["config"] for item in params["config_entries"] or [])]


def main() -> None:
    objects = ObjectModule(FIELDS, "config_entry", "config_entries")
    objects.spec["config_entries"]["options"]["kind"]["required"] = True
    module = create_module(objects.spec, required_by={"name": ["kind"]}, **objects.rules)
    module.no_log_values.update(secret for config in configs(module.params) for secret in secrets_of(config))
    run_objects(module, objects, lambda module, client: ConfigEntries(client))


if __name__ == "__main__":
    main()
