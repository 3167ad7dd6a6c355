#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: certificate_signature
short_description: Sign several certificate requests with authorities at hand, in one task
version_added: 0.1.0
description:
  - Has M(community.crypto.x509_certificate_pipe) sign each request with the key of its authority. Keys and requests
    pass through memory only.
  - Where that module would run on the controller, it is run in the process of this task. A loop over it starts a
    Python of its own for each certificate.
  - Signs anew each time that it is called. Which certificates are due, M(imagine.platform.node_certificate) tells.
author:
  - imagine.platform contributors (@imagine-platform)
extends_documentation_fragment:
  - imagine.platform.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details:
      - A certificate is not compared with one from before.
  idempotent:
    support: none
    details:
      - Each signature makes another certificate.
options:
  requests:
    description: The requests, by names under which the certificates are returned.
    type: dict
    required: true
    suboptions:
      csr:
        description: The request, in PEM form.
        type: str
        required: true
      authority:
        description: The name of its authority among O(authorities).
        type: str
        required: true
  authorities:
    description: The authorities, by name. Those that sign nothing here may be without a key.
    type: dict
    required: true
    suboptions:
      certificate:
        description: The certificate of the authority, in PEM form.
        type: str
      private_key:
        description: Its private key, in PEM form and not encrypted.
        type: str
  days:
    description: For how many days the certificates are valid.
    type: int
    required: true
  backdated:
    description: How many seconds before now they become valid, for nodes whose clock is behind.
    type: int
    default: 0
seealso:
  - module: community.crypto.x509_certificate_pipe
  - module: imagine.platform.node_certificate
"""

EXAMPLES = r"""
- name: See whether the authority at hand can sign what is due
  imagine.platform.certificate_signature: &signature
    requests:
      consul:
        csr: "{{ __certificates.pending.consul.csr }}"
        authority: consul
    authorities:
      consul: "{{ ansible_facts.federation_secrets.sites.ifca.ca }}"
    days: 90
    backdated: 3600
  delegate_to: localhost
  check_mode: true
  no_log: true
  when: __certificates.pending | length > 0

- name: Sign it
  imagine.platform.certificate_signature: *signature
  delegate_to: localhost
  no_log: true
  register: __signed
  when: __certificates.pending | length > 0
"""

RETURN = r"""
certificates:
  description: The certificates in PEM form, by the names of their requests.
  returned: success
  type: dict
  sample:
    consul: |
      -----BEGIN CERTIFICATE-----
      ...
"""
