#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: site_bundle
short_description: Write the bundle that answers the request of a site
version_added: 0.1.0
author:
  - imagine.platform contributors (@imagine-platform)
description:
  - Writes one file for the site operator. Its content is encrypted with HPKE (RFC 9180, X25519, HKDF-SHA256 and
    ChaCha20-Poly1305) to the key in the request, so that nothing but that key opens it, not even who wrote it.
  - The file is signed with the key of the authority of Nomad's certificates, by whose fingerprint the site operator
    knows the federation. It names the request that it answers, and when it expires.
  - A bundle that is there is left as it is where it answers the same request, the O(settings) are the same, and less
    than half of its life is over. O(credentials) do not count, since they are made anew each time.
  - Runs on the controller.
requirements:
  - cryptography with HPKE (on the controller)
extends_documentation_fragment:
  - imagine.platform.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details:
      - What could be shown is encrypted.
  idempotent:
    support: full
options:
  path:
    description: The file to write, with mode C(0644).
    type: path
    required: true
  request:
    description: The request, as a file.
    type: path
    required: true
  fingerprint:
    description:
      - Fingerprint of the request that was compared, whole or its spoken part. A file that was replaced since is
        refused.
    type: str
    required: true
  federation:
    description: Name of the federation.
    type: str
    required: true
  settings:
    description: What the site must know of the federation.
    type: dict
    required: true
  credentials:
    description: Signed certificates and other things that are made for this bundle. Not needed in check mode.
    type: dict
    default: {}
  authority:
    description: C(private_key) and C(certificate) of the authority of Nomad's certificates.
    type: dict
    required: true
  valid_hours:
    description: Hours for which the bundle may be opened.
    type: int
    default: 168
seealso:
  - module: imagine.platform.site_request
  - module: imagine.platform.site_bundle_info
"""

EXAMPLES = r"""
- name: See whether the bundle has to be written
  imagine.platform.site_bundle:
    path: walton.bundle.yml
    request: walton.request.yml
    fingerprint: 3f2a-91bc-0d1e-77aa-5c3b-9f00-12d4-e8c1
    federation: imagine
    settings: &settings
      servers: [203.0.113.10, 203.0.113.20, 203.0.113.30]
      region: global
    authority: "{{ federation_secrets.nomad.ca }}"
  check_mode: true
  register: __due
  no_log: true

- name: Write it
  imagine.platform.site_bundle:
    path: walton.bundle.yml
    request: walton.request.yml
    fingerprint: 3f2a-91bc-0d1e-77aa-5c3b-9f00-12d4-e8c1
    federation: imagine
    settings: *settings
    credentials:
      certificates: "{{ signed }}"
    authority: "{{ federation_secrets.nomad.ca }}"
  when: __due is changed
  no_log: true
"""

RETURN = r"""
path:
  description: The file.
  returned: success
  type: str
  sample: /home/operator/walton.bundle.yml
reason:
  description: Why it was written, or empty.
  returned: success
  type: str
  sample: it answers another request
expires:
  description: When it expires.
  returned: when there is a bundle
  type: str
  sample: "2026-01-08T00:00:00Z"
fingerprint:
  description: SHA-256 of the authority's certificate.
  returned: when there is a bundle
  type: str
  sample: 91bc3f2a...
spoken:
  description: The part of it that people compare.
  returned: when there is a bundle
  type: str
  sample: 91bc-3f2a-0d1e-77aa-5c3b-9f00-12d4-e8c1
"""
