#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nomad_surge
short_description: Have the services of a Nomad node run elsewhere too before it is drained
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - A drain stops the only allocation of a job before its replacement starts. This module gives each service that runs
    on a node one more allocation elsewhere for each one that it has there, and takes them back afterwards.
  - Nothing that runs is restarted by it. Allocations leave the service catalogue O(shutdown_delay) seconds before they
    stop, so that whoever routes requests to them has learned of it.
  - Make the node ineligible first, or the others may be placed there again.
  - What was changed is noted in a Nomad variable for each job, below C(imagine/surge), so that O(state=absent) takes it
    back also after a run that was killed. Several nodes may have the same job run more often at a time.
  - A job that somebody registers anew meanwhile stays as that somebody wants it.
  - Jobs of other types than V(service) are left alone. So are groups that take their data along (C(migrate) of their
    C(ephemeral_disk)), since a second allocation would begin without. They move when the node is drained, and the next
    call waits for them.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.nomad
attributes:
  check_mode:
    support: full
    details: With O(state=present) Nomad plans where the node is still eligible, and may count it as room.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  name:
    description: Name or ID of the node.
    type: str
    required: true
  state:
    description:
      - V(present) has the services run elsewhere too, and waits until they do. It also waits for those that an earlier
        call began, so that it can be called again after the drain, for the replacements. Those for which there is no
        room are not waited for, as long as each job runs as often as it was asked for.
      - V(absent) takes back what was added because of the node, and waits until nothing runs more often than asked for.
    type: str
    choices: [present, absent]
    default: present
  shutdown_delay:
    description: Seconds between an allocation's leaving of the catalogue and its end.
    type: int
    default: 10
  required:
    description:
      - Whether to fail, before anything is changed, where a service has no place elsewhere, and to take everything back
        where one does not come up there.
      - With V(false) such a service is left alone, and named in RV(left). For a node that has to go in any case.
    type: bool
    default: true
  wait_timeout:
    description: Seconds to wait at most, for each job.
    type: int
    default: 600
seealso:
  - module: imagine.platform.nomad_node
  - module: imagine.platform.endpoint_wait
"""

EXAMPLES = r"""
- name: Place nothing on the node any more
  imagine.platform.nomad_node:
    name: ifca-compute
    eligibility: ineligible

- name: Have its services run elsewhere too
  imagine.platform.nomad_surge:
    name: ifca-compute

- name: Move the rest
  imagine.platform.nomad_node:
    name: ifca-compute
    drain: true

- name: Wait for the replacements
  imagine.platform.nomad_surge:
    name: ifca-compute

- name: Let each run as often as it is asked for
  imagine.platform.nomad_surge:
    name: ifca-compute
    state: absent
"""

RETURN = r"""
jobs:
  description: Jobs that run more often, or did, and those that take their data along, as C(namespace/ID).
  returned: success
  type: list
  elements: str
  sample: [imagine/module-3f1b6f5c-5d0a-7c46-0c5f-0e9d1f7b2a10]
endpoints:
  description: Where their ports are served now at the site of the node. Empty with O(state=absent).
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Job, group and label of the port.
      type: str
      sample: module-3f1b6f5c-5d0a-7c46-0c5f-0e9d1f7b2a10/usergroup/api
    addresses:
      description: Address and port of each allocation at the site of the node.
      type: list
      elements: str
      sample: ["10.10.0.21:23456", "10.10.0.22:31234"]
left:
  description: Services that run on this node only, since they have no place elsewhere. Empty with O(required=true).
  returned: success
  type: list
  elements: dict
  contains:
    job:
      description: Job, as C(namespace/ID).
      type: str
      sample: imagine/module-3f1b6f5c-5d0a-7c46-0c5f-0e9d1f7b2a10
    reason:
      description: Why.
      type: str
      sample: "module-3f1b6f5c runs on ifca-compute, and no other node takes it: no node is left that is ready."
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.imagine.platform.plugins.module_utils.nodes import list_nodes, select
from ansible_collections.imagine.platform.plugins.module_utils.nomad import (
    Json,
    NomadClient,
    NomadError,
    create_module,
    run_module,
)
from ansible_collections.imagine.platform.plugins.module_utils.nomad_surge import Surge


def run(module: AnsibleModule, client: NomadClient) -> Json:
    """Begin or end."""
    params = module.params
    if params["shutdown_delay"] < 0:
        raise NomadError(f"shutdown_delay is {params['shutdown_delay']}: give 0 or more seconds.", "option")
    node = select(list_nodes(client), params["name"])
    if node is None:
        raise NomadError(f"There is no node '{params['name']}': correct the name, or start its Nomad client.", "option")
    surge = Surge(client, node, params["shutdown_delay"], params["wait_timeout"], module.check_mode, params["required"])
    return surge.begin() if params["state"] == "present" else surge.end()


def main() -> None:
    run_module(
        create_module(
            {
                "name": {"type": "str", "required": True},
                "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
                "required": {"type": "bool", "default": True},
                "shutdown_delay": {"type": "int", "default": 10},
                "wait_timeout": {"type": "int", "default": 600},
            }
        ),
        run,
    )


if __name__ == "__main__":
    main()
