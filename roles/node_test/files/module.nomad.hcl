# Copyright (c) 2026 imagine.platform contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# A module as users deploy it, on one node that need not be ready. Before it starts, the drivers that jobs use beside
# Docker have run a program, and have found the directory that users' storage is mounted in, and what mounts there need.
# Docker itself refuses a shared mount of a directory that is none: nobody has to log in to the machine for that.
job "module-${JOB_UUID}" {
  namespace = "${NAMESPACE}"
  region    = "global"
  type      = "service"
  priority  = "${PRIORITY}"

  meta {
    owner       = "${OWNER}"
    owner_name  = "${OWNER_NAME}"
    owner_email = "${OWNER_EMAIL}"
    title       = "${TITLE}"
    description = "${DESCRIPTION}"
  }

  constraint {
    attribute = "${node.unique.name}"
    value     = "${NODE_NAME}"
  }
  # Names are those of a site: another one may claim the same.
  constraint {
    attribute = "${node.datacenter}"
    value     = "${SITE_NAME}"
  }
  constraint {
    attribute = "${meta.status}"
    operator  = "regexp"
    value     = "test|ready|error"
  }
  constraint {
    attribute = "${meta.type}"
    operator  = "="
    value     = "${NODE_TYPE}"
  }
  constraint {
    attribute = "${meta.namespace}"
    operator  = "regexp"
    value     = "(^|,)${NAMESPACE}(,|$$)"
  }

  reschedule {
    attempts  = 0
    unlimited = false
  }

  group "usergroup" {
    disconnect {
      lost_after = "48h"
      replace    = false
    }
    restart {
      attempts = 0
      mode     = "fail"
    }
    update {
      health_check      = "task_states"
      min_healthy_time  = "3s"
      healthy_deadline  = "35m"
      progress_deadline = "40m"
    }
    network {
      port "api" {
        to = 5000
      }
    }
    service {
      name = "${JOB_UUID}-api"
      port = "api"
      tags = [
        "traefik.enable=true",
        "traefik.http.routers.${JOB_UUID}-api.tls=true",
        "traefik.http.routers.${JOB_UUID}-api.rule=Host(`api-${HOSTNAME}.${meta.domain}-${BASE_DOMAIN}`, `www.api-${HOSTNAME}.${meta.domain}-${BASE_DOMAIN}`)",
      ]
    }
    ephemeral_disk {
      size = ${DISK}
    }

    task "raw_exec" {
      driver = "raw_exec"
      lifecycle {
        hook = "prestart"
      }
      config {
        command = "/bin/sh"
        args    = ["-c", "test -w /nomad-storage && test -e /dev/fuse"]
      }
      resources {
        cpu    = 50
        memory = 32
      }
    }

    task "exec" {
      driver = "exec"
      lifecycle {
        hook = "prestart"
      }
      config {
        command = "/bin/sh"
        args    = ["-c", "test -d /alloc"]
      }
      resources {
        cpu    = 50
        memory = 32
      }
    }

    task "main" {
      driver = "docker"
      config {
        force_pull        = true
        image             = "${IMAGE}"
        ports             = ["api"]
        shm_size          = ${SHARED_MEMORY}
        memory_hard_limit = ${RAM_MAX}
        volumes           = ["/nomad-storage:/nomad-storage:shared"]
      }
      resources {
        cores      = ${CPU_NUM}
        memory     = ${RAM}
        memory_max = ${RAM_MAX}
        device "gpu" {
          count = ${GPU_NUM}
        }
      }
    }
  }
}
