#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: site_request_info
short_description: Read the request of a site, and say what is wrong with it
version_added: 0.1.0
author:
  - imagine.platform contributors (@imagine-platform)
description:
  - Reads a file that M(imagine.platform.site_request) wrote, and verifies its signature. That shows that it is
    unchanged since the owner of the key signed it, not who that is; the fingerprint, compared with the site operator,
    does.
  - Judges everything that the request itself shows, such as names that are none, VOs that the federation does not have,
    or certificate requests that ask for more than the names of the node. Whether names, domains and addresses are free
    is for M(imagine.platform.site) to say.
  - Runs on the controller.
requirements:
  - cryptography with HPKE (on the controller)
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.attributes.info
options:
  path:
    description: The request.
    type: path
    required: true
  fingerprint:
    description: The fingerprint as the site operator told it. Spaces, colons and capitals do not matter.
    type: str
  region:
    description: Nomad region of the federation, which is part of the names of certificates.
    type: str
    default: global
  vos:
    description: VOs of the federation, each with at least C(name) and C(base_domain).
    type: list
    elements: dict
    default: []
seealso:
  - module: imagine.platform.site_request
  - module: imagine.platform.site_bundle
"""

EXAMPLES = r"""
- name: Read a request
  imagine.platform.site_request_info:
    path: walton.request.yml
    vos: "{{ federation_vos }}"
  register: __request

- name: Go on only with the request that the site operator meant
  imagine.platform.site_request_info:
    path: walton.request.yml
    vos: "{{ federation_vos }}"
    fingerprint: 3f2a-91bc-0d1e-77aa-5c3b-9f00-12d4-e8c1
  register: __request
  failed_when: not __request.confirmed or __request.problems | length > 0
"""

RETURN = r"""
request:
  description: When it was made, the site and its nodes.
  returned: success
  type: dict
  sample: {created: "2026-01-01T00:00:00Z", site: {name: walton}, nodes: [{name: walton-ingress-1}]}
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
confirmed:
  description: Whether O(fingerprint) is that of the request.
  returned: success
  type: bool
  sample: true
key_fingerprint:
  description: SHA-256 of the site operator's public keys.
  returned: success
  type: str
  sample: 77aa5c3b...
problems:
  description: A sentence for each reason for which the request must be refused.
  returned: success
  type: list
  elements: str
  sample: []
datacenters_rows:
  description: Lines for the platform API's C(datacenters.csv), which has name, country, lat, lon and PUE.
  returned: success
  type: list
  elements: str
  sample: ["walton,IE,52.25,-7.14,1.3"]
gpu_models_rows:
  description: Lines for the platform API's C(gpu_models.csv), which has name, gpu_memory_MB and gpu_compute_capability.
  returned: success
  type: list
  elements: str
  sample: ["Tesla T4,15360,7.5"]
"""
