# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """How the Harbor modules reach and authenticate to Harbor."""

    DOCUMENTATION = r"""
options:
  harbor_url:
    description:
      - Address of Harbor, with scheme and without a path, for instance V(https://registry.example.org).
      - Taken from the environment variable E(HARBOR_URL) when not given.
    type: str
    required: true
  harbor_username:
    description:
      - Name of the user or the robot account to log in with. A robot account's name has its prefix, for instance
        V(robot$admin).
      - Users who log in through OpenID Connect have no password that the API takes; give an account of Harbor's own or
        a robot account.
      - Taken from the environment variable E(HARBOR_USERNAME) when not given; without either, nobody is logged in.
    type: str
  harbor_password:
    description:
      - Password of the user, or secret of the robot account.
      - Taken from the environment variable E(HARBOR_PASSWORD) when not given.
    type: str
  harbor_ca_cert:
    description:
      - PEM file of the authority that signed the certificate of Harbor.
      - Taken from the environment variable E(HARBOR_CA_CERT) when not given; without either, the authorities that the
        Python library C(requests) knows are used.
    type: path
  harbor_timeout:
    description:
      - Seconds that one request may take.
      - What only reads is repeated for at most this time while Harbor fails, and any request while Harbor is too busy.
      - Taken from the environment variable E(HARBOR_TIMEOUT) when not given.
    type: int
    default: 30
attributes:
  action_group:
    description: Takes its defaults from C(module_defaults) of the action group C(group/imagine.platform.harbor).
    support: full
    membership:
      - imagine.platform.harbor
requirements:
  - requests >= 2.25.0
notes:
  - All Harbor modules take these options from C(module_defaults) of the action group C(group/imagine.platform.harbor).
  - They speak the API v2.0 of Harbor 2.2 or newer.
"""
