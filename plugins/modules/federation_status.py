#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: federation_status
short_description: Tell what is wrong with a federation, and how it is mended
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Puts together what the machines and Nomad's API said, compares it with the inventory, and says what is wrong, each
    with a command that mends it or shows more.
  - Shows the result as tables, and writes it as an HTML page that loads nothing from anywhere.
  - Runs on the controller, asks nobody, and takes results of modules that failed or did not reach their host. So what
    does not answer is a finding.
  - Finds only, and does not fail when something is wrong. The role P(imagine.platform.status#role) does that.
extends_documentation_fragment:
  - imagine.platform.attributes
attributes:
  check_mode:
    support: full
    details: Writes no file.
  diff_mode:
    support: none
  idempotent:
    support: full
    details:
      - Files are written each time, since they say when that was. The task is changed when something else in them is.
options:
  machines:
    description:
      - What M(imagine.platform.node_status) returned, by host name, also where the host was unreachable. Nodes of the
        inventory that are not among them were left out, for instance by C(--limit).
    type: dict
    required: true
  answers:
    description:
      - What the API said. The keys are C(leaders), the result of M(imagine.platform.nomad_leader_info); C(servers), of
        M(imagine.platform.nomad_server_info); C(sites), of M(imagine.platform.site_info); C(nodes), of
        M(imagine.platform.node_info); and C(deployments), of M(imagine.platform.deployment_info).
      - A result that failed is a finding, one that was skipped or is missing is not known.
    type: dict
    default: {}
  page:
    description:
      - File on the controller for the HTML page.
    type: path
  data:
    description:
      - File on the controller for RV(report) as JSON, for programs.
    type: path
  mode:
    description:
      - Mode of both files.
    type: str
    default: "0600"
  title:
    description:
      - Title of the page.
    type: str
    default: Federation
  show:
    description:
      - Whether to show the tables.
    type: bool
    default: true
  unmanaged_groups:
    description:
      - Groups whose hosts are not nodes of the federation.
    type: list
    elements: str
    default: [unmanaged]
  minimum_disk_mb:
    description:
      - A file system with less than this, and less than a tenth of its size, is full.
    type: int
    default: 1000
  disk_warning_percent:
    description:
      - A file system with less than this part of it free is a warning.
    type: float
    default: 10.0
  certificate_days:
    description:
      - A certificate or an authority that ends within so many days is an error.
    type: int
    default: 14
  authority_days:
    description:
      - A certificate authority that ends within so many days is a warning.
    type: int
    default: 90
  maximum_clock_offset:
    description:
      - Seconds by which the clock of a node may differ from that of the controller.
    type: float
    default: 5.0
seealso:
  - module: imagine.platform.node_status
  - module: imagine.platform.inventory_findings
"""

EXAMPLES = r"""
- name: Examine the nodes
  imagine.platform.node_status:
    services: [consul, nomad]
  become: true
  register: machine
  ignore_unreachable: true
  failed_when: false

- name: Say what is wrong with the machines
  imagine.platform.federation_status:
    machines: "{{ dict(ansible_play_hosts_all | zip(ansible_play_hosts_all | map('extract', hostvars, 'machine'))) }}"
    page: status.html
  run_once: true
  register: federation

- name: Show it to a program
  ansible.builtin.debug:
    var: federation.report.findings
  run_once: true

- name: Ask the servers which of them leads
  imagine.platform.nomad_leader_info:
    addresses: ["https://203.0.113.10:4646"]
    nomad_ca_cert: inventory/.federation/ca/nomad.pem
  delegate_to: localhost
  run_once: true
  register: leaders
  failed_when: false

- name: Write down what is wrong with machines and servers, and show nothing
  imagine.platform.federation_status:
    machines: "{{ dict(ansible_play_hosts_all | zip(ansible_play_hosts_all | map('extract', hostvars, 'machine'))) }}"
    answers:
      leaders: "{{ leaders }}"
    data: status.json
    show: false
  run_once: true
"""

RETURN = r"""
healthy:
  description: Whether there is no finding that is an error.
  returned: success
  type: bool
  sample: true
verdict:
  description: One sentence.
  returned: success
  type: str
  sample: "The federation is NOT healthy: 2 errors, 1 warning."
report:
  description: Everything that is shown.
  returned: success
  type: dict
  contains:
    generated:
      description: When it was put together.
      type: str
      sample: "2026-01-01T00:00:00+00:00"
    healthy:
      description: As RV(healthy).
      type: bool
    errors:
      description: Number of errors.
      type: int
    warnings:
      description: Number of warnings.
      type: int
    leader:
      description: Node that Nomad's servers follow, empty where there is none.
      type: str
      sample: ifca-server
    findings:
      description: What is wrong, errors first. RV(ignore:node) and RV(ignore:site) are empty where it is about more.
      type: list
      elements: dict
      sample:
        - severity: error
          site: ifca
          node: ifca-compute
          where: ifca-compute
          message: "Docker does not run: failed (failed) since 12 s, it ended with exit-code"
          command: ansible-playbook -i inventory imagine.platform.deploy --limit ifca-compute
    sites:
      description: The sites, those that other operators have registered among them, each with its state in a word.
      type: list
      elements: dict
    nodes:
      description: The nodes, with their services, versions, and what Nomad says of them.
      type: list
      elements: dict
    servers:
      description: Nomad's servers, as Raft and autopilot see them.
      type: list
      elements: dict
    certificates:
      description:
        - The certificates of services and the authorities, the first to end first. RV(ignore:node) is empty for an
          authority, RV(ignore:site) for one of the whole federation.
      type: list
      elements: dict
    gpus:
      description: GPUs by site and model, with how many are used and free.
      type: list
      elements: dict
    deployments:
      description: Deployments by VO and state.
      type: list
      elements: dict
    links:
      description: Whether nodes of a site reach the Nomad servers of another one.
      type: list
      elements: dict
"""
