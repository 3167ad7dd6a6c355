#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nomad_acl_auth_method
short_description: Manage Nomad ACL auth methods
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Creates, updates and deletes auth methods of Nomad, one by its options or many in one call with O(auth_methods).
  - An auth method lets people log in with an OpenID Connect provider such as EGI Check-in (V(OIDC)), or programs with
    a token that they have already (V(JWT)). Binding rules say what they may do.
  - Secrets are never returned or shown, and not compared, because Nomad shows them to nobody; see O(update_secrets).
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.nomad
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - Of a secret the diff says only that there is one, and whether it is set anew.
  idempotent:
    support: partial
    details:
      - With O(update_secrets=always) every run writes the secrets that are given.
options:
  name:
    description:
      - Name of the auth method; letters, digits and dashes.
      - Exactly one of O(name) and O(auth_methods) is required.
    type: str
  type:
    description:
      - V(OIDC) sends people to a provider to log in, V(JWT) takes tokens that somebody has already.
      - Required to create an auth method; cannot be changed.
    type: str
    choices: [OIDC, JWT]
  token_locality:
    description:
      - Whether the tokens of those who log in are valid in one region or in all.
      - V(local) for a new auth method when not given.
    type: str
    choices: [local, global]
  token_name_format:
    description:
      - Name of these tokens, with C(${auth_method_type}), C(${auth_method_name}) and mapped claims such as
        C(${value.user}).
      - Kept as it is when not given.
    type: str
  max_token_ttl:
    description:
      - How long these tokens are valid, for instance V(8h).
      - Required to create an auth method; kept as it is when not given.
    type: str
  default:
    description:
      - Whether to use this method where a login names none. Only one can be the default.
      - Kept as it is when not given.
    type: bool
  oidc_client_secret:
    description:
      - Secret of the client at the provider.
      - Nomad shows it to nobody, so the module cannot compare it. It is written when Nomad has none, together with
        other changes of the configuration, and with O(update_secrets=always); an empty string takes it away.
      - Nomad replaces a configuration as a whole. The module refuses to change anything in it without the secret that
        would be lost.
    type: str
  oidc_client_assertion:
    description:
      - How Nomad proves to the provider who it is, in place of a plain client secret.
      - Replaced as a whole; kept as it is when not given.
    type: dict
    suboptions:
      key_source:
        description: Where the key is from. An empty mapping without it takes the assertion away.
        type: str
        choices: [nomad, private_key, client_secret]
      audience:
        description: Who the assertion is for; the discovery URL when not given.
        type: list
        elements: str
      key_algorithm:
        description: Algorithm of the signature; V(RS256), or V(HS256) with the client secret, when not given.
        type: str
      extra_headers:
        description: More headers of the assertion.
        type: dict
      pem_key:
        description: Private key in PEM form. Nomad keeps it and shows it to nobody.
        type: str
      pem_key_file:
        description: File on the Nomad servers that holds the private key.
        type: str
      pem_cert:
        description: Certificate in PEM form that belongs to the key.
        type: str
      pem_cert_file:
        description: File on the Nomad servers that holds the certificate.
        type: str
      key_id:
        description: ID of the key at the provider, in place of a certificate.
        type: str
      key_id_header:
        description: Header that names the key; what fits the other options when not given.
        type: str
        choices: [kid, x5t, x5t#S256]
  oidc_discovery_url:
    description:
      - Address of the provider, without C(/.well-known/openid-configuration).
      - Kept as it is when not given.
    type: str
  oidc_client_id:
    description:
      - ID of the client at the provider.
      - Kept as it is when not given.
    type: str
  oidc_scopes:
    description:
      - Scopes to ask for, exactly.
      - Kept as they are when not given.
    type: list
    elements: str
  oidc_enable_pkce:
    description:
      - Whether to use PKCE.
      - Kept as it is when not given.
    type: bool
  oidc_disable_userinfo:
    description:
      - Whether to leave the provider's userinfo endpoint alone.
      - Kept as it is when not given.
    type: bool
  jwks_url:
    description:
      - Address of the keys that sign tokens.
      - Kept as it is when not given.
    type: str
  jwks_ca_cert:
    description:
      - Authority that signed the certificate of O(jwks_url), in PEM form.
      - Kept as it is when not given.
    type: str
  jwt_validation_pub_keys:
    description:
      - Keys that sign tokens, in PEM form, exactly.
      - Kept as they are when not given.
    type: list
    elements: str
  discovery_ca_certs:
    description:
      - Authorities that signed the certificate of O(oidc_discovery_url), in PEM form, exactly.
      - Kept as they are when not given.
    type: list
    elements: str
  allowed_redirect_uris:
    description:
      - Where the provider may send people back to, exactly.
      - Kept as they are when not given.
    type: list
    elements: str
  bound_audiences:
    description:
      - Audiences of which a token must have one, exactly.
      - Kept as they are when not given.
    type: list
    elements: str
  bound_issuers:
    description:
      - Issuers of which a token must have one, exactly.
      - Kept as they are when not given.
    type: list
    elements: str
  signing_algorithms:
    description:
      - Algorithms that tokens may be signed with, exactly.
      - Kept as they are when not given.
    type: list
    elements: str
  claim_mappings:
    description:
      - Claims with one value, and the names that selectors know them by after C(value.), exactly.
      - Kept as they are when not given.
    type: dict
  list_claim_mappings:
    description:
      - Claims with many values, and the names that selectors know them by after C(list.), exactly.
      - Kept as they are when not given.
    type: dict
  expiration_leeway:
    description:
      - How long after its end a token is still taken, for instance V(30s).
      - Kept as it is when not given.
    type: str
  not_before_leeway:
    description:
      - How long before its beginning a token is taken already.
      - Kept as it is when not given.
    type: str
  clock_skew_leeway:
    description:
      - How much clocks may differ.
      - Kept as it is when not given.
    type: str
  verbose_logging:
    description:
      - Whether the servers log claims and the evaluation of binding rules at level DEBUG. Claims are personal data.
      - Kept as it is when not given.
    type: bool
  update_secrets:
    description:
      - When to write O(oidc_client_secret) and the private key of O(oidc_client_assertion).
      - V(when_missing) writes them when Nomad has none or when the configuration changes in another way.
      - V(always) writes them at every run, which counts as a change. Use it once after a secret was renewed.
    type: str
    choices: [when_missing, always]
    default: when_missing
  state:
    description:
      - Whether the auth methods are to exist.
    type: str
    choices: [present, absent]
    default: present
  auth_methods:
    description:
      - The auth methods to manage, where there are several.
    type: list
    elements: dict
    suboptions:
      name:
        description: As O(name).
        type: str
        required: true
      type:
        description: As O(type).
        type: str
        choices: [OIDC, JWT]
      token_locality:
        description: As O(token_locality).
        type: str
        choices: [local, global]
      token_name_format:
        description: As O(token_name_format).
        type: str
      max_token_ttl:
        description: As O(max_token_ttl).
        type: str
      default:
        description: As O(default).
        type: bool
      oidc_client_secret:
        description: As O(oidc_client_secret).
        type: str
      oidc_client_assertion:
        description: As O(oidc_client_assertion).
        type: dict
        suboptions:
          key_source:
            description: Where the key is from. An empty mapping without it takes the assertion away.
            type: str
            choices: [nomad, private_key, client_secret]
          audience:
            description: Who the assertion is for; the discovery URL when not given.
            type: list
            elements: str
          key_algorithm:
            description: Algorithm of the signature; V(RS256), or V(HS256) with the client secret, when not given.
            type: str
          extra_headers:
            description: More headers of the assertion.
            type: dict
          pem_key:
            description: Private key in PEM form. Nomad keeps it and shows it to nobody.
            type: str
          pem_key_file:
            description: File on the Nomad servers that holds the private key.
            type: str
          pem_cert:
            description: Certificate in PEM form that belongs to the key.
            type: str
          pem_cert_file:
            description: File on the Nomad servers that holds the certificate.
            type: str
          key_id:
            description: ID of the key at the provider, in place of a certificate.
            type: str
          key_id_header:
            description: Header that names the key; what fits the other options when not given.
            type: str
            choices: [kid, x5t, x5t#S256]
      oidc_discovery_url:
        description: As O(oidc_discovery_url).
        type: str
      oidc_client_id:
        description: As O(oidc_client_id).
        type: str
      oidc_scopes:
        description: As O(oidc_scopes).
        type: list
        elements: str
      oidc_enable_pkce:
        description: As O(oidc_enable_pkce).
        type: bool
      oidc_disable_userinfo:
        description: As O(oidc_disable_userinfo).
        type: bool
      jwks_url:
        description: As O(jwks_url).
        type: str
      jwks_ca_cert:
        description: As O(jwks_ca_cert).
        type: str
      jwt_validation_pub_keys:
        description: As O(jwt_validation_pub_keys).
        type: list
        elements: str
      discovery_ca_certs:
        description: As O(discovery_ca_certs).
        type: list
        elements: str
      allowed_redirect_uris:
        description: As O(allowed_redirect_uris).
        type: list
        elements: str
      bound_audiences:
        description: As O(bound_audiences).
        type: list
        elements: str
      bound_issuers:
        description: As O(bound_issuers).
        type: list
        elements: str
      signing_algorithms:
        description: As O(signing_algorithms).
        type: list
        elements: str
      claim_mappings:
        description: As O(claim_mappings).
        type: dict
      list_claim_mappings:
        description: As O(list_claim_mappings).
        type: dict
      expiration_leeway:
        description: As O(expiration_leeway).
        type: str
      not_before_leeway:
        description: As O(not_before_leeway).
        type: str
      clock_skew_leeway:
        description: As O(clock_skew_leeway).
        type: str
      verbose_logging:
        description: As O(verbose_logging).
        type: bool
      state:
        description: Whether this one is to exist; O(state) when not given.
        type: str
        choices: [present, absent]
seealso:
  - module: imagine.platform.nomad_acl_binding_rule
  - module: imagine.platform.nomad_acl_role
  - module: imagine.platform.nomad_acl_auth_method_info
"""

EXAMPLES = r"""
- name: Let people log in with EGI Check-in
  imagine.platform.nomad_acl_auth_method:
    name: check-in
    type: OIDC
    default: true
    max_token_ttl: 8h
    token_name_format: ${auth_method_type}-${value.user}
    oidc_discovery_url: https://aai.egi.eu/auth/realms/egi
    oidc_client_id: nomad
    oidc_client_secret: "{{ check_in_client_secret }}"
    oidc_scopes: [openid, email, entitlements]
    bound_audiences: [nomad]
    allowed_redirect_uris:
      - https://nomad.example.org/ui/settings/tokens
    claim_mappings:
      voperson_id: user
    list_claim_mappings:
      entitlements: entitlements

- name: Write a client secret that the provider has renewed
  imagine.platform.nomad_acl_auth_method:
    name: check-in
    oidc_client_secret: "{{ check_in_client_secret }}"
    update_secrets: always

- name: Let programs log in with the tokens of two providers
  imagine.platform.nomad_acl_auth_method:
    auth_methods:
      - name: ci
        type: JWT
        max_token_ttl: 30m
        jwks_url: https://ci.example.org/jwks
        bound_issuers: [https://ci.example.org]
      - name: retired
        state: absent
"""

RETURN = r"""
operation:
  description: What was done to the auth method, or would be in check mode.
  returned: when O(auth_methods) is not given
  type: str
  sample: create
auth_method:
  description: The auth method as it is now; empty when absent.
  returned: when O(auth_methods) is not given
  type: dict
  sample:
    name: check-in
    type: OIDC
    token_locality: local
    token_name_format: ${auth_method_type}-${value.user}
    max_token_ttl: 8h
    default: true
    oidc_discovery_url: https://aai.egi.eu/auth/realms/egi
    oidc_client_id: nomad
    oidc_scopes:
    - email
    - entitlements
    - openid
    oidc_enable_pkce: false
    oidc_disable_userinfo: false
    jwks_url: ''
    jwks_ca_cert: ''
    jwt_validation_pub_keys: []
    discovery_ca_certs: []
    allowed_redirect_uris:
    - https://nomad.example.org/ui/settings/tokens
    bound_audiences:
    - nomad
    bound_issuers: []
    signing_algorithms: []
    claim_mappings:
      voperson_id: user
    list_claim_mappings:
      entitlements: entitlements
    expiration_leeway: 0s
    not_before_leeway: 0s
    clock_skew_leeway: 0s
    verbose_logging: false
    oidc_client_assertion: null
    secrets:
      oidc_client_secret: set
auth_methods:
  description: The auth methods as they are now, each with the O(ignore:operation) that was done.
  returned: when O(auth_methods) is given
  type: list
  elements: dict
  sample:
    - name: check-in
      type: OIDC
      token_locality: local
      token_name_format: ${auth_method_type}-${value.user}
      max_token_ttl: 8h
      default: true
      oidc_discovery_url: https://aai.egi.eu/auth/realms/egi
      oidc_client_id: nomad
      oidc_scopes:
      - email
      - entitlements
      - openid
      oidc_enable_pkce: false
      oidc_disable_userinfo: false
      jwks_url: ''
      jwks_ca_cert: ''
      jwt_validation_pub_keys: []
      discovery_ca_certs: []
      allowed_redirect_uris:
      - https://nomad.example.org/ui/settings/tokens
      bound_audiences:
      - nomad
      bound_issuers: []
      signing_algorithms: []
      claim_mappings:
        voperson_id: user
      list_claim_mappings:
        entitlements: entitlements
      expiration_leeway: 0s
      not_before_leeway: 0s
      clock_skew_leeway: 0s
      verbose_logging: false
      oidc_client_assertion: null
      secrets:
        oidc_client_secret: set
      operation: create
"""

from ansible_collections.imagine.platform.plugins.module_utils.nomad import create_object_module, run_objects
from ansible_collections.imagine.platform.plugins.module_utils.nomad_acl import METHOD_FIELDS, AuthMethods


def main() -> None:
    module = create_object_module(
        METHOD_FIELDS,
        "auth_method",
        "auth_methods",
        extra_options={
            "update_secrets": {
                "type": "str",
                "choices": ["when_missing", "always"],
                "default": "when_missing",
                "no_log": False,
            }
        },
    )
    run_objects(module, lambda module, client: AuthMethods(client, module.params["update_secrets"] == "always"))


if __name__ == "__main__":
    main()
