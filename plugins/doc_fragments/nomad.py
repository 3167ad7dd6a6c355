# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """How the Nomad modules reach and authenticate to Nomad."""

    DOCUMENTATION = r"""
options:
  nomad_address:
    description:
      - Address of the Nomad HTTP API, with scheme and port.
      - Taken from the environment variable E(NOMAD_ADDR) when not given.
    type: str
    default: https://127.0.0.1:4646
  nomad_ca_cert:
    description:
      - PEM file of the authority that signed the certificate of Nomad's HTTP API.
      - Taken from the environment variable E(NOMAD_CACERT) when not given; without either, the system's authorities are
        used.
    type: path
  nomad_client_cert:
    description:
      - PEM file of the client certificate to present.
      - Taken from the environment variable E(NOMAD_CLIENT_CERT) when not given.
    type: path
  nomad_client_key:
    description:
      - PEM file of the private key that belongs to O(nomad_client_cert).
      - Taken from the environment variable E(NOMAD_CLIENT_KEY) when not given.
    type: path
  nomad_token:
    description:
      - Secret of the ACL token to use.
      - Taken from the environment variable E(NOMAD_TOKEN) when not given.
    type: str
  nomad_namespace:
    description:
      - Namespace of the objects that belong to one.
      - Taken from the environment variable E(NOMAD_NAMESPACE) when not given.
    type: str
  nomad_region:
    description:
      - Region to send the request to; the region of the agent when not given.
      - Taken from the environment variable E(NOMAD_REGION) when not given.
    type: str
  nomad_timeout:
    description:
      - Seconds that one request may take.
      - While the servers elect a leader a request is repeated for at most this time.
    type: int
    default: 30
attributes:
  action_group:
    description: Takes its defaults from C(module_defaults) of the action group C(group/imagine.platform.nomad).
    support: full
    membership:
      - imagine.platform.nomad
requirements:
  - python-nomad >= 2.0.0
notes:
  - With C(module_defaults) of the action group C(group/imagine.platform.nomad) these options are given once for all
    tasks.
"""
