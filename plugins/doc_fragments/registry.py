# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """How the image modules reach and authenticate to a registry."""

    DOCUMENTATION = r"""
options:
  registry_username:
    description:
      - User or robot account of the registry; without one the registry is used anonymously.
      - Taken from the environment variable E(REGISTRY_USERNAME) when not given.
    type: str
  registry_password:
    description:
      - Password, or secret of the robot account.
      - Taken from the environment variable E(REGISTRY_PASSWORD) when not given.
    type: str
  registry_auth_file:
    description:
      - File with logins as C(docker login), C(podman login) and C(skopeo login) write it, for instance
        C(~/.docker/config.json). Used when O(registry_username) is not given. Credential helpers are not called.
      - Taken from the environment variable E(REGISTRY_AUTH_FILE) when not given.
    type: path
  registry_ca_cert:
    description:
      - PEM file of the authority that signed the registry's certificate.
      - Taken from the environment variable E(REGISTRY_CA_CERT) when not given; without either, the system's authorities
        are used.
    type: path
  registry_client_cert:
    description:
      - PEM file of the client certificate to present.
      - Taken from the environment variable E(REGISTRY_CLIENT_CERT) when not given.
    type: path
  registry_client_key:
    description:
      - PEM file of the private key that belongs to O(registry_client_cert).
      - Taken from the environment variable E(REGISTRY_CLIENT_KEY) when not given.
    type: path
  registry_plain_http:
    description:
      - Whether the registry is reached without TLS. The password and the image then travel unencrypted.
    type: bool
    default: false
  registry_timeout:
    description:
      - Seconds that the registry may be silent.
    type: int
    default: 60
  registry_retries:
    description:
      - How often a request is repeated when the connection breaks or when the registry answers that it is busy or
        failed (429 and 5xx); the pauses grow, or are as long as the registry asks for. An upload that gets on does not
        use them up.
      - A registry that cannot be reached at all is not asked again.
    type: int
    default: 5
attributes:
  action_group:
    description: Takes its defaults from C(module_defaults) of the action group C(group/imagine.platform.registry).
    support: full
    membership:
      - imagine.platform.registry
requirements:
  - requests
notes:
  - All image modules take these options from C(module_defaults) of the action group
    C(group/imagine.platform.registry).
"""
