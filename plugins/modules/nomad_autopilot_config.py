#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nomad_autopilot_config
short_description: Manage how Nomad looks after its own servers
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Sets when autopilot counts a server as healthy and whether it removes dead ones; options that are not given keep
    what is there.
  - The configuration is written with check-and-set, so that a change that somebody else makes at the same time is kept.
  - RV(imagine.platform.nomad_server_info#module:autopilot) shows the configuration.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.nomad
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  cleanup_dead_servers:
    description:
      - Whether a dead server is removed from Raft as soon as a majority is left.
    type: bool
  last_contact_threshold:
    description:
      - How long a server may be without contact to the leader and still be healthy, such as V(500ms). Raise it for
        servers that are far from one another.
    type: str
  max_trailing_logs:
    description:
      - How many log entries a server may be behind the leader and still be healthy.
    type: int
  min_quorum:
    description:
      - How many servers autopilot keeps in any case when it removes dead ones; V(0) for no limit.
    type: int
  server_stabilization_time:
    description:
      - How long a new server must be healthy before it may vote, such as V(10s).
    type: str
seealso:
  - module: imagine.platform.nomad_server_info
"""

EXAMPLES = r"""
- name: Allow for servers at sites that are far apart
  imagine.platform.nomad_autopilot_config:
    last_contact_threshold: 1s
    server_stabilization_time: 30s

- name: Keep dead servers until somebody has looked after them
  imagine.platform.nomad_autopilot_config:
    cleanup_dead_servers: false
"""

RETURN = r"""
autopilot_config:
  description: The configuration as it is now, or would be in check mode.
  returned: success
  type: dict
  sample:
    cleanup_dead_servers: true
    last_contact_threshold: 200ms
    max_trailing_logs: 250
    min_quorum: 0
    server_stabilization_time: 10s
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.imagine.platform.plugins.module_utils.durations import duration, nanoseconds
from ansible_collections.imagine.platform.plugins.module_utils.nomad import (
    Json,
    NomadClient,
    NomadError,
    change_configuration,
    create_module,
    run_module,
)
from ansible_collections.imagine.platform.plugins.module_utils.nomad_servers import (
    AUTOPILOT_PATH,
    autopilot_body,
    autopilot_state,
    read_autopilot,
)

DURATIONS = ("last_contact_threshold", "server_stabilization_time")
NUMBERS = ("max_trailing_logs", "min_quorum")


def configure(module: AnsibleModule, client: NomadClient) -> Json:
    """Check the options, then read, compare, and write."""
    for option in DURATIONS:
        given = module.params[option]
        if given is not None:
            length = nanoseconds(given)
            if not length:
                raise NomadError(f"{option} is '{given}', which is no duration above 0: write it as 500ms.", "option")
            module.params[option] = duration(length)
    for option in NUMBERS:
        given = module.params[option]
        if given is not None and given < 0:
            raise NomadError(f"{option} is {given}: give a number that is not negative.", "option")

    def write(raw: Json, wanted: Json) -> bool:
        return bool(
            client.put(
                AUTOPILOT_PATH,
                "writing the configuration of autopilot",
                autopilot_body(raw, wanted),
                params={"cas": raw["ModifyIndex"]},
            )
        )

    return change_configuration(
        module, client, "autopilot_config", lambda: read_autopilot(client), autopilot_state, write
    )


def main() -> None:
    module = create_module(
        {
            "cleanup_dead_servers": {"type": "bool"},
            **{option: {"type": "str"} for option in DURATIONS},
            **{option: {"type": "int"} for option in NUMBERS},
        }
    )
    run_module(module, configure)


if __name__ == "__main__":
    main()
