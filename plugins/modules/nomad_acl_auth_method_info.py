#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nomad_acl_auth_method_info
short_description: List Nomad ACL auth methods
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Lists the auth methods of Nomad without their secrets, which costs one request an auth method.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.attributes.info
  - imagine.platform.nomad
options:
  names:
    description:
      - Names of the auth methods to list; all when not given.
      - Those that do not exist are left out.
    type: list
    elements: str
seealso:
  - module: imagine.platform.nomad_acl_auth_method
"""

EXAMPLES = r"""
- name: List all auth methods
  imagine.platform.nomad_acl_auth_method_info:
  register: found

- name: Look at one auth method
  imagine.platform.nomad_acl_auth_method_info:
    names: [check-in]
"""

RETURN = r"""
auth_methods:
  description: The auth methods, ordered by name.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the auth method.
      type: str
      sample: check-in
    type:
      description: As O(imagine.platform.nomad_acl_auth_method#module:type).
      type: str
      sample: OIDC
    token_locality:
      description: As O(imagine.platform.nomad_acl_auth_method#module:token_locality).
      type: str
      sample: local
    token_name_format:
      description: As O(imagine.platform.nomad_acl_auth_method#module:token_name_format).
      type: str
      sample: ${auth_method_type}-${value.user}
    max_token_ttl:
      description: As O(imagine.platform.nomad_acl_auth_method#module:max_token_ttl).
      type: str
      sample: 8h
    default:
      description: As O(imagine.platform.nomad_acl_auth_method#module:default).
      type: bool
      sample: true
    oidc_discovery_url:
      description: As O(imagine.platform.nomad_acl_auth_method#module:oidc_discovery_url).
      type: str
      sample: https://aai.egi.eu/auth/realms/egi
    oidc_client_id:
      description: As O(imagine.platform.nomad_acl_auth_method#module:oidc_client_id).
      type: str
      sample: nomad
    oidc_scopes:
      description: As O(imagine.platform.nomad_acl_auth_method#module:oidc_scopes).
      type: list
      elements: str
      sample: [email, entitlements, openid]
    oidc_enable_pkce:
      description: As O(imagine.platform.nomad_acl_auth_method#module:oidc_enable_pkce).
      type: bool
      sample: false
    oidc_disable_userinfo:
      description: As O(imagine.platform.nomad_acl_auth_method#module:oidc_disable_userinfo).
      type: bool
      sample: false
    jwks_url:
      description: As O(imagine.platform.nomad_acl_auth_method#module:jwks_url).
      type: str
      sample: ''
    jwks_ca_cert:
      description: As O(imagine.platform.nomad_acl_auth_method#module:jwks_ca_cert).
      type: str
      sample: ''
    jwt_validation_pub_keys:
      description: As O(imagine.platform.nomad_acl_auth_method#module:jwt_validation_pub_keys).
      type: list
      elements: str
      sample: []
    discovery_ca_certs:
      description: As O(imagine.platform.nomad_acl_auth_method#module:discovery_ca_certs).
      type: list
      elements: str
      sample: []
    allowed_redirect_uris:
      description: As O(imagine.platform.nomad_acl_auth_method#module:allowed_redirect_uris).
      type: list
      elements: str
      sample: ['https://nomad.example.org/ui/settings/tokens']
    bound_audiences:
      description: As O(imagine.platform.nomad_acl_auth_method#module:bound_audiences).
      type: list
      elements: str
      sample: [nomad]
    bound_issuers:
      description: As O(imagine.platform.nomad_acl_auth_method#module:bound_issuers).
      type: list
      elements: str
      sample: []
    signing_algorithms:
      description: As O(imagine.platform.nomad_acl_auth_method#module:signing_algorithms).
      type: list
      elements: str
      sample: []
    claim_mappings:
      description: As O(imagine.platform.nomad_acl_auth_method#module:claim_mappings).
      type: dict
      sample: {voperson_id: user}
    list_claim_mappings:
      description: As O(imagine.platform.nomad_acl_auth_method#module:list_claim_mappings).
      type: dict
      sample: {entitlements: entitlements}
    expiration_leeway:
      description: As O(imagine.platform.nomad_acl_auth_method#module:expiration_leeway).
      type: str
      sample: 0s
    not_before_leeway:
      description: As O(imagine.platform.nomad_acl_auth_method#module:not_before_leeway).
      type: str
      sample: 0s
    clock_skew_leeway:
      description: As O(imagine.platform.nomad_acl_auth_method#module:clock_skew_leeway).
      type: str
      sample: 0s
    verbose_logging:
      description: As O(imagine.platform.nomad_acl_auth_method#module:verbose_logging).
      type: bool
      sample: false
    oidc_client_assertion:
      description: How Nomad proves to the provider who it is, without the key; null without an assertion.
      type: dict
      sample:
        key_source: nomad
        audience: [https://aai.egi.eu/auth/realms/egi]
        key_algorithm: RS256
        extra_headers: {}
        pem_key_file: ""
        pem_cert: ""
        pem_cert_file: ""
        key_id: ""
        key_id_header: ""
    secrets:
      description: The secrets that Nomad keeps, each with V(set) in place of the secret.
      type: dict
      sample: {oidc_client_secret: set}
"""

from ansible_collections.imagine.platform.plugins.module_utils.nomad import create_info_module, run_info
from ansible_collections.imagine.platform.plugins.module_utils.nomad_acl import AuthMethods


def main() -> None:
    module = create_info_module()
    run_info(module, "auth_methods", lambda client: AuthMethods(client).find(module.params["names"]))


if __name__ == "__main__":
    main()
