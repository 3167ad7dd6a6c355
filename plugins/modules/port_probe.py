#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: port_probe
short_description: Say which ports of other machines a node reaches
version_added: 0.1.0
author:
  - imagine.platform contributors (@imagine-platform)
description:
  - Connects to TCP ports, and sends a datagram to UDP ports, all at once, and tells what came of it.
  - UDP itself gives no sign of a port that takes datagrams. With O(gossip_key) the datagram is a ping of Consul's
    gossip, which a Consul agent of the same site answers.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.attributes.info
requirements:
  - cryptography (on the node, for O(gossip_key))
options:
  targets:
    description: The ports.
    type: list
    elements: dict
    required: true
    suboptions:
      address:
        description: IP address or name of the machine.
        type: str
        required: true
      port:
        description: Number of the port.
        type: int
        required: true
      protocol:
        description: Protocol.
        type: str
        choices: [tcp, udp]
        default: tcp
  gossip_key:
    description: Key of a site's Consul gossip, 16, 24 or 32 bytes in Base64.
    type: str
  timeout:
    description: Seconds to wait for each.
    type: float
    default: 3
"""

EXAMPLES = r"""
- name: See whether the federation's servers are reached
  imagine.platform.port_probe:
    targets:
      - {address: 203.0.113.10, port: 4647}
      - {address: 203.0.113.20, port: 4647}
  register: __servers
  failed_when: "'open' not in __servers.results_found | map(attribute='state')"

- name: See whether gossip passes within the site
  imagine.platform.port_probe:
    targets:
      - {address: 10.40.0.11, port: 8301, protocol: udp}
    gossip_key: "{{ federation_secrets.sites.walton.consul_gossip_key }}"
"""

RETURN = r"""
results_found:
  description:
    - What came of each of O(targets), in their order.
    - RV(ignore:state) is V(open) where something answered, V(refused) where the machine was reached and nothing
      listens, V(filtered) where nothing came back or a router refused, and V(unknown) for UDP without an answer.
  returned: success
  type: list
  elements: dict
  sample: [{address: 203.0.113.10, port: 4647, protocol: tcp, state: open}]
"""

import base64
import binascii
import os
import socket
import struct
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

try:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
except ImportError:
    AESGCM = None  # type: ignore[assignment, misc]

AT_ONCE = 32


def gossip_ping(key: bytes) -> bytes:
    """A ping to whoever gets it, as Consul's agents send them: version 1 of their encryption is AES-GCM unpadded."""
    # Type 0, and a MessagePack map of the sequence number and the name, which is left empty.
    message = b"\x00\x82\xa5SeqNo\xce" + struct.pack(">I", int.from_bytes(os.urandom(4), "big")) + b"\xa4Node\xa0"
    nonce = os.urandom(12)
    return b"\x01" + nonce + AESGCM(key).encrypt(nonce, message, None)


def probe_tcp(address: str, port: int, timeout: float) -> str:
    """What came of a connection."""
    try:
        with socket.create_connection((address, port), timeout):
            return "open"
    except ConnectionRefusedError:
        return "refused"
    except OSError:
        return "filtered"


def probe_udp(address: str, port: int, timeout: float, key: bytes | None) -> str:
    """What came of a datagram; of several, since one may get lost."""
    try:
        family, kind, protocol, _name, place = socket.getaddrinfo(address, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as link:
            link.settimeout(timeout / 3)
            link.connect(place)
            for _attempt in range(3):
                try:
                    link.send(gossip_ping(key) if key else b"\x00")
                    link.recv(2048)
                    return "open"
                except socket.timeout:
                    continue
    except ConnectionRefusedError:
        return "refused"
    except OSError:
        return "filtered"
    # Who was asked properly and stays silent was not reached.
    return "filtered" if key else "unknown"


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "targets": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "address": {"type": "str", "required": True},
                    "port": {"type": "int", "required": True},
                    "protocol": {"type": "str", "choices": ["tcp", "udp"], "default": "tcp"},
                },
            },
            "gossip_key": {"type": "str", "no_log": True},
            "timeout": {"type": "float", "default": 3},
        },
        supports_check_mode=True,
    )
    timeout = module.params["timeout"]
    if timeout <= 0:
        module.fail_json(msg=f"timeout is {timeout}; give a number of seconds above 0.")
    key = None
    if module.params["gossip_key"]:
        if AESGCM is None:
            module.fail_json(msg=missing_required_lib("cryptography"))
        try:
            key = base64.b64decode(module.params["gossip_key"], validate=True)
        except binascii.Error:
            key = b""
        if len(key) not in (16, 24, 32):
            module.fail_json(msg="gossip_key is not a key of 16, 24 or 32 bytes in Base64; give the site's.")

    def probe(target: dict[str, Any]) -> dict[str, Any]:
        address, port, protocol = target["address"], target["port"], target["protocol"]
        state = probe_tcp(address, port, timeout) if protocol == "tcp" else probe_udp(address, port, timeout, key)
        return {"address": address, "port": port, "protocol": protocol, "state": state}

    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(probe, module.params["targets"]))
    module.exit_json(changed=False, results_found=found)


if __name__ == "__main__":
    main()
