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
  - With O(traefik_api) it also waits until the Traefik of that node knows all instances of what it knows one of. After
    an outage of Consul Traefik asks for news later and later, and would send requests to an instance that has left
    meanwhile.
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
  traefik_api:
    description:
      - Address of Traefik's API as the node reaches it, such as V(http://127.0.0.1:8080).
      - A Traefik that does not answer routes nothing, and is not waited for.
    type: str
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
    traefik_api: http://127.0.0.1:8080
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

import json
import socket
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import open_url

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


def read_all(url: str) -> list[dict[str, Any]]:
    """What Traefik lists, on all of its pages."""
    found: list[dict[str, Any]] = []
    page = 1
    while True:
        answer = open_url(f"{url}?per_page=1000&page={page}", timeout=CONNECT_SECONDS, use_proxy=False)
        found += json.load(answer)
        following = int(answer.headers.get("X-Next-Page") or 1)
        if following <= page:
            return found
        page = following


def routed(api: str) -> frozenset[str]:
    """Addresses that a Traefik sends requests and connections to; none where it does not answer."""
    try:
        http, tcp = (read_all(f"{api.rstrip('/')}/api/{kind}/services") for kind in ("http", "tcp"))
    except (OSError, ValueError):
        return frozenset()
    servers = [one for service in http + tcp for one in (service.get("loadBalancer") or {}).get("servers") or []]
    return frozenset(
        urllib.parse.urlsplit(one["url"]).netloc if "url" in one else str(one.get("address")) for one in servers
    )


def unknown(endpoints: list[dict[str, Any]], api: str | None) -> dict[str, list[str]]:
    """Addresses that Traefik does not know, of endpoints of which it knows another one."""
    known = routed(api) if api else frozenset()
    missing = {
        one["name"]: [address for address in one["addresses"] if address not in known]
        for one in endpoints
        if known.intersection(one["addresses"])
    }
    return {name: addresses for name, addresses in missing.items() if addresses}


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
            "traefik_api": {"type": "str"},
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
        strange = {} if partly else unknown(endpoints, module.params["traefik_api"])
        if not (partly or strange) or module.check_mode:
            break
        late = time.monotonic() >= deadline
        if late and strange:
            name, addresses = next(iter(sorted(strange.items())))
            module.fail_json(
                msg=f"The Traefik at {module.params['traefik_api']} did not hear of {', '.join(addresses)} of {name} "
                f"within {module.params['timeout']} s: look at its log, and at whether Consul there is well."
            )
        if late:
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
