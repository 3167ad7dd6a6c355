#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: fedcloud_site_info
short_description: Read EGI's descriptions of Federated Cloud sites
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Reads which sites of the EGI Federated Cloud there are, the address of their Keystone, and the project that each VO
    has there.
  - The descriptions are YAML files as in the directory C(sites) of EGI's repository C(fedcloud-catchall-operations).
  - Keys that this module does not know are ignored. Nothing is written to disk.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.attributes.info
options:
  src:
    description:
      - Where the descriptions are. A directory, such as a Git checkout; a file; an archive, tar with any compression or
        zip; or the HTTP address of a file or an archive.
      - In a directory or an archive, the files in its directory C(sites) count, or its own where there is none.
    type: str
    required: true
  sites:
    description:
      - Names of the sites to return, as in GOCDB or as the file is called without its ending; all when not given.
    type: list
    elements: str
  vos:
    description:
      - Names of VOs. Sites that serve none of them are left out, and of the others all other VOs.
    type: list
    elements: str
  strict:
    description:
      - Whether a description that is wrong is an error. Otherwise it is left out, and said in RV(problems).
    type: bool
    default: true
  ca_cert:
    description:
      - PEM file of the authority that signed the certificate of O(src); the system's authorities when not given.
    type: path
  timeout:
    description:
      - Seconds that the request may take.
    type: int
    default: 30
requirements:
  - PyYAML
seealso:
  - module: imagine.platform.vo
  - name: Sites of the EGI Federated Cloud
    description: EGI's own descriptions of them.
    link: https://github.com/EGI-Federation/fedcloud-catchall-operations
"""

EXAMPLES = r"""
- name: Find the sites that serve a VO
  imagine.platform.fedcloud_site_info:
    src: https://github.com/EGI-Federation/fedcloud-catchall-operations/archive/refs/heads/main.tar.gz
    vos: [vo.imagine-ai.eu]
    strict: false
  delegate_to: localhost
  register: egi

- name: Read one site from a checkout
  imagine.platform.fedcloud_site_info:
    src: "{{ playbook_dir }}/fedcloud-catchall-operations"
    sites: [IFCA-LCG2]
    vos: [vo.imagine-ai.eu]
  delegate_to: localhost
  register: ifca

- name: Show what OpenStack clients need there
  ansible.builtin.debug:
    msg:
      auth_type: v3oidcaccesstoken
      auth_url: "{{ ifca.sites[0].endpoint }}"
      identity_provider: egi.eu
      protocol: "{{ ifca.sites[0].protocol }}"
      project_id: "{{ ifca.sites[0].projects['vo.imagine-ai.eu'] }}"
"""

RETURN = r"""
sites:
  description: The sites, ordered by GOCDB name. A site with several endpoints is there once for each.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the file without its ending.
      type: str
      sample: IFCA-LCG2
    gocdb:
      description: Name of the site in GOCDB, EGI's database of sites.
      type: str
      sample: IFCA-LCG2
    endpoint:
      description: Address of Keystone.
      type: str
      sample: https://keystone.ifca.example.org:5000/v3
    region:
      description: OpenStack region; empty where there is only one.
      type: str
      sample: ""
    protocol:
      description: Protocol in Keystone's federation API.
      type: str
      sample: openid
    vos:
      description:
        - VOs that the site serves, ordered by name. RV(ignore:region) is that of the site where the VO has none.
      type: list
      elements: dict
      sample:
        - name: vo.imagine-ai.eu
          project_id: 5f1c7b763a0e5a558c434f2a9d2f3c11
          region: ""
          default_network: private
          public_network: external
    projects:
      description: Project by VO; empty where the description gives none.
      type: dict
      sample:
        vo.imagine-ai.eu: 5f1c7b763a0e5a558c434f2a9d2f3c11
problems:
  description: What is wrong with descriptions that were left out.
  returned: success
  type: list
  elements: str
  sample: []
"""

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.imagine.platform.plugins.module_utils import fedcloud
from ansible_collections.imagine.platform.plugins.module_utils.crud import Json


def chosen(site: Json, sites: list[str] | None, vos: list[str] | None) -> Json | None:
    """The part of a site that was asked for, if any."""
    if sites is not None and not {site["gocdb"], site["name"]} & set(sites):
        return None
    if vos is None:
        return site
    kept = [vo for vo in site["vos"] if vo["name"] in vos]
    return {**site, "vos": kept, "projects": {vo["name"]: vo["project_id"] for vo in kept}} if kept else None


def collect(params: Mapping[str, Any]) -> Json:
    """Read all descriptions and pick."""
    found, problems = [], []
    for name, content in fedcloud.Source(params["src"], params["ca_cert"], params["timeout"]).files():
        try:
            site = chosen(fedcloud.parse(name, content), params["sites"], params["vos"])
        except fedcloud.FedcloudError as error:
            problems.append(str(error))
        else:
            found += [site] if site else []
    if problems and params["strict"]:
        more = f" ({len(problems) - 1} more have mistakes, too; strict: false leaves them out.)" if problems[1:] else ""
        raise fedcloud.FedcloudError(problems[0] + more)
    found.sort(key=lambda site: (site["gocdb"], site["name"]))
    return {"changed": False, "sites": found, "problems": problems}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "src": {"type": "str", "required": True},
            "sites": {"type": "list", "elements": "str"},
            "vos": {"type": "list", "elements": "str"},
            "strict": {"type": "bool", "default": True},
            "ca_cert": {"type": "path"},
            "timeout": {"type": "int", "default": 30},
        },
        supports_check_mode=True,
    )
    if fedcloud.YAML_IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("PyYAML"), exception=fedcloud.YAML_IMPORT_ERROR)
    try:
        result = collect(module.params)
    except fedcloud.FedcloudError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
