# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
# Reserves most of the memory of a node, with a priority.
job "${NAME}" {
  namespace = "${NAMESPACE}"
  type      = "service"
  priority  = ${PRIORITY}

  constraint {
    attribute = "${meta.status}"
    operator  = "regexp"
    value     = "ready"
  }
  constraint {
    attribute = "${meta.type}"
    operator  = "="
    value     = "compute"
  }
  constraint {
    attribute = "${node.unique.name}"
    operator  = "="
    value     = "${NODE}"
  }

  group "usergroup" {
    task "main" {
      driver = "raw_exec"

      config {
        command = "/bin/sleep"
        args    = ["600"]
      }
      resources {
        cpu    = 20
        memory = ${MEMORY}
      }
    }
  }
}
