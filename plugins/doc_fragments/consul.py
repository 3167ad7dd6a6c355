# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """How the Consul modules reach and authenticate to Consul."""

    DOCUMENTATION = r"""
options:
  consul_address:
    description:
      - Address of the Consul HTTP API, with scheme and port.
      - Taken from the environment variable E(CONSUL_HTTP_ADDR) when not given.
      - Without a scheme it is V(https://) where the environment variable E(CONSUL_HTTP_SSL) is V(true), and V(http://)
        otherwise, as for Consul's own tools.
    type: str
    default: https://127.0.0.1:8501
  consul_ca_cert:
    description:
      - PEM file of the authority that signed the certificate of Consul's HTTP API.
      - Taken from the environment variable E(CONSUL_CACERT) when not given; without either, the system's authorities
        are used.
    type: path
  consul_client_cert:
    description:
      - PEM file of the client certificate to present.
      - Taken from the environment variable E(CONSUL_CLIENT_CERT) when not given.
    type: path
  consul_client_key:
    description:
      - PEM file of the private key that belongs to O(consul_client_cert).
      - Taken from the environment variable E(CONSUL_CLIENT_KEY) when not given.
    type: path
  consul_token:
    description:
      - Secret of the ACL token to use.
      - Taken from the environment variable E(CONSUL_HTTP_TOKEN) when not given.
    type: str
  consul_namespace:
    description:
      - Namespace of the objects that belong to one. Consul Enterprise only.
      - Taken from the environment variable E(CONSUL_NAMESPACE) when not given.
    type: str
  consul_partition:
    description:
      - Admin partition of the objects that belong to one. Consul Enterprise only.
      - Taken from the environment variable E(CONSUL_PARTITION) when not given.
    type: str
  consul_datacenter:
    description: Datacenter to send the request to; the datacenter of the agent when not given.
    type: str
  consul_timeout:
    description:
      - Seconds that one request may take.
      - While the servers elect a leader a request is repeated for at most this time.
    type: int
    default: 30
attributes:
  action_group:
    description: Takes its defaults from C(module_defaults) of the action group C(group/imagine.platform.consul).
    support: full
    membership:
      - imagine.platform.consul
notes:
  - All Consul modules take these options from C(module_defaults) of the action group C(group/imagine.platform.consul).
  - Requests go over C(py-consul) 1.8 or newer where the host that runs the module has it, and over Ansible's own HTTP
    client otherwise. Consul's HTTP API listens on the loopback address of a node as a rule, so that the modules run
    there, and nothing needs to be installed for them.
"""
