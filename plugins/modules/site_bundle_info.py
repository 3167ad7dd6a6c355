#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: site_bundle_info
short_description: Open the bundle that answers the request of a site
version_added: 0.1.0
author:
  - imagine.platform contributors (@imagine-platform)
description:
  - Verifies and decrypts a file that M(imagine.platform.site_bundle) wrote.
  - Refuses a bundle that was changed, that is of another federation than the one that the site operator trusts, for
    another site, another key or an earlier request, older than the one that was applied last, or expired. One that was
    applied before may be opened again, also when it has expired.
  - Runs on the controller. The result is hidden as with C(no_log), the reason of a failure is not.
requirements:
  - cryptography with HPKE (on the controller)
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.attributes.info
options:
  path:
    description: The bundle.
    type: path
    required: true
  site:
    description: Name of the site.
    type: str
    required: true
  request:
    description: Fingerprint of the last request of the site, as RV(imagine.platform.site_request#module:fingerprint).
    type: str
    required: true
  keys:
    description: Private keys of the site operator, with which the request was made.
    type: dict
    required: true
  fingerprint:
    description: Fingerprint of the federation, as its operator told it.
    type: str
    default: ""
  applied:
    description: C(issued) and C(fingerprint) of the bundle that was applied last, if any.
    type: dict
    default: {}
seealso:
  - module: imagine.platform.site_bundle
"""

EXAMPLES = r"""
- name: Open the first bundle
  imagine.platform.site_bundle_info:
    path: walton.bundle.yml
    site: walton
    request: "{{ federation_secrets.operator.request }}"
    keys: "{{ federation_secrets.operator }}"
    fingerprint: 91bc-3f2a-0d1e-77aa-5c3b-9f00-12d4-e8c1
  register: __bundle

- name: Open a later one
  imagine.platform.site_bundle_info:
    path: walton.bundle.yml
    site: walton
    request: "{{ federation_secrets.operator.request }}"
    keys: "{{ federation_secrets.operator }}"
    applied: "{{ membership }}"
  register: __bundle
"""

RETURN = r"""
federation:
  description: Name of the federation.
  returned: success
  type: str
  sample: imagine
issued:
  description: When the bundle was written.
  returned: success
  type: str
  sample: "2026-01-01T00:00:00Z"
expires:
  description: When it expires.
  returned: success
  type: str
  sample: "2026-01-08T00:00:00Z"
fingerprint:
  description: SHA-256 of the certificate of the authority that signed it.
  returned: success
  type: str
  sample: 91bc3f2a...
settings:
  description: What it says of the federation.
  returned: success
  type: dict
  sample: {region: global}
credentials:
  description: Signed certificates and other things that are for this site only.
  returned: success
  type: dict
  sample: {certificates: {walton-ingress-1: {nomad: "-----BEGIN CERTIFICATE-----..."}}}
"""
