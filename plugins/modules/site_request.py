#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: site_request
short_description: Write the request of a site to take part in a federation
version_added: 0.1.0
author:
  - imagine.platform contributors (@imagine-platform)
description:
  - Writes one file for the federation operator, which says what the site is, which nodes it has, and holds their
    certificate requests and the public keys of the site operator. It holds no secrets, people can read it, and it is
    signed with the operator's key.
  - Its fingerprint covers all of it. The two operators compare that over another way than the file takes.
  - A file that asks for the same with the same keys is left as it is.
  - Runs on the controller.
requirements:
  - cryptography with HPKE (on the controller)
extends_documentation_fragment:
  - imagine.platform.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  path:
    description: The file to write, with mode C(0644).
    type: path
    required: true
  site:
    description: C(name), C(domain), C(title), C(country), C(latitude), C(longitude), C(pue), C(contact) and C(vos).
    type: dict
    required: true
  nodes:
    description:
      - A mapping for each node, with C(name), C(address), C(public_address), C(roles), C(vos), C(gpus) and
        C(certificates).
      - C(gpus) are mappings with C(model), C(memory_mb) and C(compute_capability). C(certificates) are certificate
        requests in PEM form, as RV(imagine.platform.node_certificate#module:pending) has them.
    type: list
    elements: dict
    required: true
  keys:
    description: Private keys of the site operator, C(encryption) and C(signing), as C(federation_secrets) makes them.
    type: dict
    required: true
seealso:
  - module: imagine.platform.site_request_info
  - module: imagine.platform.site_bundle
"""

EXAMPLES = r"""
- name: Write the request
  imagine.platform.site_request:
    path: walton.request.yml
    site:
      name: walton
      domain: walton
      title: Walton Institute
      country: IE
      latitude: 52.25
      longitude: -7.14
      pue:
      contact: cloud@walton.example.org
      vos: [vo.imagine-ai.eu]
    nodes:
      - name: walton-ingress-1
        address: 10.40.0.11
        public_address: 198.51.100.40
        roles: [ingress]
        vos: []
        gpus: []
        certificates:
          nomad: "{{ __pending.nomad.csr }}"
    keys: "{{ federation_secrets.operator }}"
  register: __request

- name: See whether it would be another one
  imagine.platform.site_request:
    path: walton.request.yml
    site: "{{ walton }}"
    nodes: "{{ walton_nodes }}"
    keys: "{{ federation_secrets.operator }}"
  check_mode: true
"""

RETURN = r"""
path:
  description: The file.
  returned: success
  type: str
  sample: /home/operator/walton.request.yml
fingerprint:
  description: SHA-256 of what the request says.
  returned: success
  type: str
  sample: 3f2a91bc...
spoken:
  description: The part of it that people compare.
  returned: success
  type: str
  sample: 3f2a-91bc-0d1e-77aa-5c3b-9f00-12d4-e8c1
key_fingerprint:
  description: SHA-256 of the operator's public keys, which the federation knows the site by.
  returned: success
  type: str
  sample: 77aa5c3b...
"""
