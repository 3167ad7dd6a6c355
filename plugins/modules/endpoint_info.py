#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: endpoint_info
short_description: Ask a deployment at its HTTPS address
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Asks an HTTPS address as its users do, verifies the certificate, and waits until the answer is the one that is
    wanted.
  - With O(address) it asks one ingress of a site, or one whose name is not in DNS yet, and verifies the certificate for
    the name nevertheless. That is what M(ansible.builtin.uri) cannot do.
  - A name that does not resolve, and a certificate that is not valid, fail at once.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.attributes.info
options:
  url:
    description:
      - Address to ask, beginning with C(https://).
    type: str
    required: true
  address:
    description:
      - IP address to connect to, in place of the one that the name stands for.
    type: str
  ca_file:
    description:
      - PEM file of the authority that the certificate must come from; one that the system trusts when not given.
    type: path
  upload:
    description:
      - A file to send as a form, with the method POST.
    type: dict
    suboptions:
      field:
        description: Name of the field.
        type: str
        required: true
      path:
        description: The file.
        type: path
        required: true
      content_type:
        description: Type of its content.
        type: str
        default: application/octet-stream
  status:
    description:
      - HTTP status codes that are good.
    type: list
    elements: int
    default: [200]
  contains:
    description:
      - A text that must be in the answer.
    type: str
    default: ""
  certificate_days:
    description:
      - Days that the certificate must still be valid.
    type: int
    default: 0
  request_timeout:
    description:
      - Seconds to wait for one answer.
    type: float
    default: 30
  timeout:
    description:
      - Seconds to ask again and again, until the answer is the one that is wanted.
    type: float
    default: 60
seealso:
  - module: imagine.platform.module_deployment
"""

EXAMPLES = r"""
- name: Ask a module what it serves
  imagine.platform.endpoint_info:
    url: https://api-digits.ifca-deployments.example.org/v2/models/
    contains: models

- name: Ask it for a prediction, through one ingress of its site
  imagine.platform.endpoint_info:
    url: https://api-digits.ifca-deployments.example.org/v2/models/digits_classifier/predict/
    address: 203.0.113.10
    ca_file: /etc/imagine/ingress.pem
    upload: {field: image, path: digit-7.png, content_type: image/png}
"""

RETURN = r"""
status:
  description: HTTP status code of the answer.
  returned: success
  type: int
  sample: 200
content:
  description: The answer, up to 1 MB of it.
  returned: success
  type: str
  sample: '{"models": []}'
seconds:
  description: How long the last request took.
  returned: success
  type: float
  sample: 0.021
attempts:
  description: How often it was asked.
  returned: success
  type: int
  sample: 1
certificate:
  description: The certificate that was verified.
  returned: success
  type: dict
  contains:
    names:
      description: The names that it is for.
      type: list
      elements: str
      sample: ["*.ifca-deployments.example.org"]
    issuer:
      description: Name of the authority.
      type: str
      sample: R11
    not_after:
      description: When it expires.
      type: str
      sample: "2027-01-01T00:00:00Z"
    days_left:
      description: Whole days until then.
      type: int
      sample: 60
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.imagine.platform.plugins.module_utils.crud import Json
from ansible_collections.imagine.platform.plugins.module_utils.endpoints import (
    EndpointError,
    Request,
    ask_until,
    multipart,
)


def request_of(params: Json) -> Request:
    """What the options ask."""
    options: Json = {
        "url": params["url"],
        "address": params["address"] or "",
        "ca_file": params["ca_file"] or "",
        "timeout": params["request_timeout"],
    }
    upload = params["upload"]
    if upload is None:
        return Request(**options)
    try:
        with open(upload["path"], "rb") as source:
            content = source.read()
    except OSError as error:
        raise EndpointError(
            f"upload.path is '{upload['path']}', which cannot be read ({error.strerror}): correct the path."
        ) from error
    name = os.path.basename(upload["path"])
    body, content_type = multipart(upload["field"], name, content, upload["content_type"])
    return Request(**options, method="POST", body=body, headers={"Content-Type": content_type})


def main() -> None:
    upload = {
        "field": {"type": "str", "required": True},
        "path": {"type": "path", "required": True},
        "content_type": {"type": "str", "default": "application/octet-stream"},
    }
    module = AnsibleModule(
        {
            "url": {"type": "str", "required": True},
            "address": {"type": "str"},
            "ca_file": {"type": "path"},
            "upload": {"type": "dict", "options": upload},
            "status": {"type": "list", "elements": "int", "default": [200]},
            "contains": {"type": "str", "default": ""},
            "certificate_days": {"type": "int", "default": 0},
            "request_timeout": {"type": "float", "default": 30},
            "timeout": {"type": "float", "default": 60},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        answer, attempts = ask_until(
            request_of(params), params["status"], params["contains"], params["timeout"], params["certificate_days"]
        )
    except EndpointError as error:
        module.fail_json(msg=str(error))
    else:
        module.exit_json(
            changed=False,
            status=answer.status,
            content=answer.text,
            seconds=answer.seconds,
            attempts=attempts,
            certificate=answer.certificate,
        )


if __name__ == "__main__":
    main()
