# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
# Work that ends, one group a driver. ${UPPERCASE} is filled in by the test, ${lowercase} by Nomad.
job "batch-${JOB_UUID}" {
  id        = "${JOB_UUID}"
  namespace = "${NAMESPACE}"
  region    = "global"
  type      = "batch"
  priority  = "50"

  constraint {
    attribute = "${meta.status}"
    operator  = "regexp"
    value     = "ready"
  }
  constraint {
    attribute = "${meta.type}"
    operator  = "set_contains_any"
    value     = "compute,batch"
  }
  affinity {
    attribute = "${meta.type}"
    operator  = "="
    value     = "batch"
    weight    = 100
  }

  reschedule {
    attempts  = 0
    unlimited = false
  }

  group "exec" {
    restart {
      attempts = 0
      mode     = "fail"
    }

    task "main" {
      driver = "exec"

      config {
        command = "/bin/sh"
        args    = ["-c", "id -un; cat /etc/nomad.d/secrets.json /etc/shadow; touch $NOMAD_TASK_DIR/own && echo written; python3 -m this | head -n 1"]
      }
      resources {
        cpu        = 50
        memory     = 32
        memory_max = 64
      }
    }
  }

  group "raw_exec" {
    restart {
      attempts = 0
      mode     = "fail"
    }

    task "main" {
      driver = "raw_exec"

      config {
        command = "/bin/sh"
        args    = ["-c", "id -un; test -d /etc/nomad.d && echo sees the node"]
      }
      resources {
        cpu    = 50
        memory = 32
      }
    }
  }

  # Takes more than is reserved, then more than it may.
  group "memory" {
    restart {
      attempts = 0
      mode     = "fail"
    }

    task "main" {
      driver = "docker"

      config {
        image   = "${IMAGE}"
        command = "python"
        args    = ["-u", "-c", "@probe", "memory"]
      }
      resources {
        cpu        = 50
        memory     = 64
        memory_max = 256
      }
    }
  }
}
