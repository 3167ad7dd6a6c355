#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: endpoint_wait
short_description: Wait until all instances of a service answer
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Connects over TCP, from the node that it runs on, to all addresses of each endpoint, until either all of them answer
    or none does. What none answers is a port that the service does not use.
  - So a new instance is waited for that has started, and does not listen yet, while an old one still serves.
extends_documentation_fragment:
  - imagine.platform.attributes
attributes:
  check_mode:
    support: full
    details: Looks once and does not wait.
  diff_mode:
    support: N/A
  idempotent:
    support: full
options:
  endpoints:
    description: The endpoints.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: What it is called in messages.
        type: str
        required: true
      addresses:
        description: Its instances, each as C(ADDRESS:PORT).
        type: list
        elements: str
        required: true
  timeout:
    description: Seconds to wait at most.
    type: int
    default: 300
seealso:
  - module: imagine.platform.nomad_surge
"""

EXAMPLES = r"""
- name: Wait until both instances answer
  imagine.platform.endpoint_wait:
    endpoints:
      - name: digits
        addresses: ["10.10.0.21:23456", "10.10.0.22:31234"]

- name: Wait from the site's ingress node for what a drain has moved
  imagine.platform.endpoint_wait:
    endpoints: "{{ surge.endpoints }}"
    timeout: 600
  delegate_to: ifca-server
"""

RETURN = r"""
answering:
  description: Endpoints all of whose instances answer.
  returned: always
  type: list
  elements: str
  sample: [digits]
silent:
  description: Endpoints none of whose instances answers.
  returned: always
  type: list
  elements: str
  sample: []
"""

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible.module_utils.basic import AnsibleModule

CONNECT_SECONDS = 3.0
PAUSE = 0.25
PARALLEL = 32


def answers(address: str) -> bool:
    """Whether something listens there."""
    host, _colon, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()
    except OSError:
        return False
    return True


def look(endpoints: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Which addresses of each endpoint do not answer."""
    addresses = sorted({address for one in endpoints for address in one["addresses"]})
    with ThreadPoolExecutor(PARALLEL) as pool:
        state = dict(zip(addresses, pool.map(answers, addresses)))
    return {one["name"]: [address for address in one["addresses"] if not state[address]] for one in endpoints}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "endpoints": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "addresses": {"type": "list", "elements": "str", "required": True},
                },
            },
            "timeout": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )
    endpoints = module.params["endpoints"]
    for one in endpoints:
        for address in one["addresses"]:
            if not address.rpartition(":")[2].isdigit() or ":" not in address:
                module.fail_json(msg=f"'{address}' of '{one['name']}' is no address: write it as ADDRESS:PORT.")
    total = {one["name"]: len(one["addresses"]) for one in endpoints}
    deadline = time.monotonic() + module.params["timeout"]
    while True:
        mute = look(endpoints)
        partly = sorted(name for name, addresses in mute.items() if 0 < len(addresses) < total[name])
        if not partly or module.check_mode:
            break
        if time.monotonic() >= deadline:
            first = partly[0]
            module.fail_json(
                msg=f"{', '.join(mute[first])} of {first} did not answer within {module.params['timeout']} s, while "
                "other instances did: look at its log, or raise the timeout."
            )
        # Whether somebody listens can only be found out by asking.
        time.sleep(PAUSE)
    module.exit_json(
        changed=False,
        answering=sorted(name for name, addresses in mute.items() if not addresses and total[name]),
        silent=sorted(name for name, addresses in mute.items() if addresses and len(addresses) == total[name]),
    )


if __name__ == "__main__":
    main()
