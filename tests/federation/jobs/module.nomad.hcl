# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
# A module in the form in which the platform API writes it. ${UPPERCASE} is filled in by the test, ${lowercase} by Nomad.
job "module-${JOB_UUID}" {
  id        = "${JOB_UUID}"
  namespace = "${NAMESPACE}"
  region    = "global"
  type      = "service"
  priority  = "50"

  meta {
    owner       = "0123456789@egi.eu"
    owner_name  = "Ada Lovelace"
    owner_email = "ada@example.org"
    title       = "Handwritten digits"
    description = "Recognises one digit."
  }

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
    attribute = "${meta.namespace}"
    operator  = "regexp"
    value     = "${NAMESPACE}"
  }
  affinity {
    attribute = "${meta.namespace}"
    operator  = "regexp"
    value     = "ai4eosc"
    weight    = -100
  }
  affinity {
    attribute = "${meta.tags}"
    operator  = "regexp"
    value     = "cpu"
    weight    = 100
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

    network {
      port "api" {
        to = 5000
      }
      port "monitor" {
        to = 6006
      }
      port "ide" {
        to = 8888
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
    service {
      name = "${JOB_UUID}-monitor"
      port = "monitor"
      tags = [
        "traefik.enable=true",
        "traefik.http.routers.${JOB_UUID}-monitor.tls=true",
        "traefik.http.routers.${JOB_UUID}-monitor.rule=Host(`monitor-${HOSTNAME}.${meta.domain}-${BASE_DOMAIN}`, `www.monitor-${HOSTNAME}.${meta.domain}-${BASE_DOMAIN}`)",
      ]
    }
    service {
      name = "${JOB_UUID}-ide"
      port = "ide"
      tags = [
        "traefik.enable=true",
        "traefik.http.routers.${JOB_UUID}-ide.tls=true",
        "traefik.http.routers.${JOB_UUID}-ide.rule=Host(`ide-${HOSTNAME}.${meta.domain}-${BASE_DOMAIN}`, `www.ide-${HOSTNAME}.${meta.domain}-${BASE_DOMAIN}`)",
      ]
    }

    ephemeral_disk {
      size = 300
    }

    # Mounts the user's storage for the others to see.
    task "storage_mount" {
      driver = "docker"
      user   = "root"

      lifecycle {
        hook    = "prestart"
        sidecar = true
      }
      config {
        force_pull = true
        image      = "${IMAGE}"
        command    = "python"
        args       = ["-u", "-c", "@probe", "storage"]
        privileged = true
        volumes = [
          "/nomad-storage/${JOB_UUID}:/storage:shared",
          "..${NOMAD_ALLOC_DIR}/data/share:/mnt/share:rshared",
        ]
      }
      resources {
        cpu    = 50
        memory = 64
      }
    }

    task "main" {
      driver = "docker"

      config {
        force_pull        = true
        image             = "${IMAGE}"
        command           = "deep-start"
        args              = ["--deepaas"]
        ports             = ["api", "monitor", "ide"]
        shm_size          = 64000000
        memory_hard_limit = 700
        volumes           = ["/nomad-storage/${JOB_UUID}:/storage:shared"]
      }
      env {
        RCLONE_CONFIG = "/srv/.rclone/rclone.conf"
      }
      resources {
        cores      = 1
        memory     = 600
        memory_max = 700
      }
    }

    task "storage_cleanup" {
      driver = "raw_exec"

      lifecycle {
        hook = "poststop"
      }
      config {
        command = "/bin/bash"
        args    = ["-c", "sudo umount /nomad-storage/${JOB_UUID} && sudo rmdir /nomad-storage/${JOB_UUID}"]
      }
    }
  }
}
