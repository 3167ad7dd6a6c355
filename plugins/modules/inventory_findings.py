#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: inventory_findings
short_description: Find everything that is wrong with an inventory and its machines
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Reads the variables of all hosts of the inventory on the controller and says what is wrong with them, all at once.
  - Judges the machines too when it gets what M(imagine.platform.node_facts) returned for them.
  - Finds only, and does not fail when something is wrong. The role P(imagine.platform.preflight#role) does that.
extends_documentation_fragment:
  - imagine.platform.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  inventory:
    description: Whether to look at the inventory itself.
    type: bool
    default: true
  names_only:
    description:
      - Whether to look at the names of variables alone, and to find those that nothing reads, as a typing error makes
        them.
      - For playbooks that must not depend on anything else in the inventory being right.
    type: bool
    default: false
  facts:
    description:
      - What M(imagine.platform.node_facts) returned, by host name, the result of an unreachable host included.
      - Without it no machine is judged.
    type: dict
  started:
    description:
      - Time of the controller before the facts were read, in seconds since 1970.
      - Without it, and without C(controller_before) and C(controller_after) in the facts, no clock is judged.
    type: float
  unmanaged_groups:
    description: Groups whose hosts are not nodes of the federation.
    type: list
    elements: str
    default: [unmanaged]
  known_variables:
    description: Names of an operator's own variables that start like the collection's.
    type: list
    elements: str
    default: []
  more:
    description: Findings of an earlier call that belong in the same report, as RV(findings) has them.
    type: list
    elements: dict
    default: []
  minimum_memory_mb:
    description: Least memory of a node in MB.
    type: int
    default: 3500
  minimum_disk_mb:
    description: Least free space at C(/var/lib) in MB.
    type: int
    default: 10000
  minimum_program_disk_mb:
    description: Least free space at C(/opt) in MB.
    type: int
    default: 1000
  maximum_clock_offset:
    description: Seconds by which the clock of a node may differ from that of the controller.
    type: float
    default: 5.0
  systems:
    description:
      - Operating systems that nodes may run, as lists of versions by C(ID) of C(/etc/os-release).
      - The default is Debian 12 and 13, Ubuntu 22.04 and 24.04, Rocky Linux 9 and AlmaLinux 9.
    type: dict
seealso:
  - module: imagine.platform.node_facts
"""

EXAMPLES = r"""
- name: Look at the inventory
  imagine.platform.inventory_findings:
  register: inventory
  run_once: true
  delegate_to: localhost

- name: Show what is wrong
  ansible.builtin.debug:
    var: inventory.errors

- name: Look for typing errors in the names of variables
  imagine.platform.inventory_findings:
    names_only: true
  run_once: true
  delegate_to: localhost

- name: Read what the machines are like
  imagine.platform.node_facts:
  register: machine
  ignore_unreachable: true

- name: Look at the machines too, and put all findings into one report
  imagine.platform.inventory_findings:
    inventory: false
    facts: "{{ dict(ansible_play_hosts_all | zip(ansible_play_hosts_all | map('extract', hostvars, 'machine'))) }}"
    started: "{{ inventory.finished }}"
    more: "{{ inventory.findings }}"
  register: report
  run_once: true
  delegate_to: localhost
"""

RETURN = r"""
findings:
  description: What is wrong, sorted by host. The same finding on all nodes of a site is one.
  returned: always
  type: list
  elements: dict
  contains:
    host:
      description: The host, a site, or the federation.
      type: str
      sample: ifca-gpu-1
    file:
      description: File and line where it was written, as far as Ansible knows.
      type: str
      sample: inventories/example/ifca.yml:14
    variable:
      description: The variable, or what was measured.
      type: str
      sample: node_roles
    value:
      description: Its value, never a secret.
      type: str
      sample: "['compue']"
    message:
      description: What is wrong, and the remedy.
      type: str
      sample: '"compue" is not a node role, did you mean "compute"?'
    severity:
      description: V(error), or V(warning) for what works but should not stay.
      type: str
      sample: error
    text:
      description: All of it in one line.
      type: str
errors:
  description: The lines of the findings that are errors.
  returned: always
  type: list
  elements: str
warnings_found:
  description: The lines of the findings that are warnings.
  returned: always
  type: list
  elements: str
nodes:
  description: Names of the nodes.
  returned: always
  type: list
  elements: str
peers:
  description: By node, the addresses and ports of the servers that it shares a quorum with.
  returned: always
  type: dict
  sample: {ifca-server-1: ["198.51.100.10:4647"]}
secret_files:
  description: Files that a node has once it was given secrets, for O(facts) to tell which of them exist.
  returned: always
  type: list
  elements: str
  sample: [/etc/consul.d/secrets.json]
finished:
  description: Time of the controller at the end, in seconds since 1970. O(started) of a later call.
  returned: always
  type: float
"""
