# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
# Everything that tools ask of Traefik and of networks beyond what a module asks: the routers of the federated-learning
# servers and of the annotation tool, in front of the probe. ${UPPERCASE} is filled in by the test, ${lowercase} by Nomad.
job "tool-probe-${JOB_UUID}" {
  id        = "${JOB_UUID}"
  namespace = "${NAMESPACE}"
  region    = "global"
  type      = "service"
  priority  = "50"

  meta {
    owner       = "0123456789@egi.eu"
    owner_name  = "Ada Lovelace"
    owner_email = "ada@example.org"
    title       = "Probe"
    description = "Speaks what tools speak."
    job_uuid    = "${JOB_UUID}"
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
    attribute = "${node.datacenter}"
    operator  = "="
    value     = "${SITE}"
  }

  reschedule {
    attempts  = 0
    unlimited = false
  }

  group "usergroup" {
    network {
      port "server" {
        to = 8080
      }
      port "fedserver" {
        to = 8081
      }
      port "server-fl" {
        to = 8002
      }
      port "server-admin" {
        to = 8003
      }
    }

    service {
      name = "${JOB_UUID}-ui"
      port = "server"
      tags = [
        "traefik.enable=true",
        "traefik.http.routers.${JOB_UUID}-ui.tls=true",
        "traefik.http.routers.${JOB_UUID}-ui.entrypoints=websecure",
        "traefik.http.routers.${JOB_UUID}-ui.rule=Host(`${JOB_UUID}.${meta.domain}-${BASE_DOMAIN}`)",
        "traefik.http.middlewares.${JOB_UUID}-ui.headers.customresponseheaders.X-Router=ui",
        "traefik.http.routers.${JOB_UUID}-ui.middlewares=${JOB_UUID}-ui@consulcatalog",
      ]
    }
    service {
      name = "${JOB_UUID}-server"
      port = "server"
      tags = [
        "traefik.enable=true",
        "traefik.http.routers.${NOMAD_META_job_uuid}-server.tls=true",
        "traefik.http.routers.${NOMAD_META_job_uuid}-server.entrypoints=websecure",
        "traefik.http.routers.${NOMAD_META_job_uuid}-server.rule=Host(`${JOB_UUID}.${meta.domain}-${BASE_DOMAIN}`) && PathPrefix(`/api/`, `/static/`, `/admin`)",
        "traefik.http.middlewares.${NOMAD_META_job_uuid}-server.headers.customresponseheaders.X-Router=server",
        "traefik.http.routers.${NOMAD_META_job_uuid}-server.middlewares=${NOMAD_META_job_uuid}-server@consulcatalog",
      ]
    }
    service {
      name = "${JOB_UUID}-dashboard"
      port = "server"
      tags = [
        "traefik.enable=true",
        "traefik.http.routers.${JOB_UUID}-dashboard.tls=true",
        "traefik.http.routers.${JOB_UUID}-dashboard.entrypoints=websecure",
        "traefik.http.routers.${JOB_UUID}-dashboard.rule=Host(`${JOB_UUID}.${meta.domain}-${BASE_DOMAIN}`) && PathPrefix(`/analytics`)",
        "traefik.http.middlewares.${JOB_UUID}-auth.forwardauth.address=http://${NOMAD_HOST_ADDR_server}/session",
        "traefik.http.middlewares.${JOB_UUID}-auth.forwardauth.authRequestHeaders=Cookie,Authorization",
        "traefik.http.middlewares.${JOB_UUID}-strip.stripprefix.prefixes=/analytics",
        "traefik.http.routers.${JOB_UUID}-dashboard.middlewares=${JOB_UUID}-auth@consulcatalog,${JOB_UUID}-strip@consulcatalog",
      ]
    }
    service {
      name = "${JOB_UUID}-fedserver"
      port = "fedserver"
      tags = [
        "traefik.enable=true",
        "traefik.http.routers.${JOB_UUID}-fedserver.tls=true",
        "traefik.http.routers.${JOB_UUID}-fedserver.rule=Host(`fedserver-${HOSTNAME}.${meta.domain}-${BASE_DOMAIN}`, `www.fedserver-${HOSTNAME}.${meta.domain}-${BASE_DOMAIN}`)",
        "traefik.http.services.${JOB_UUID}-fedserver.loadbalancer.server.scheme=h2c",
      ]
    }
    service {
      name = "${JOB_UUID}-server-fl"
      port = "server-fl"
      tags = [
        "traefik.enable=true",
        "traefik.tcp.routers.${JOB_UUID}-server-fl.tls=true",
        "traefik.tcp.routers.${JOB_UUID}-server-fl.tls.passthrough=true",
        "traefik.tcp.routers.${JOB_UUID}-server-fl.entrypoints=nvflare_fl",
        "traefik.tcp.routers.${JOB_UUID}-server-fl.rule=HostSNI(`${JOB_UUID}-server.${meta.domain}-${BASE_DOMAIN}`)",
      ]
    }
    service {
      name = "${JOB_UUID}-server-admin"
      port = "server-admin"
      tags = [
        "traefik.enable=true",
        "traefik.tcp.routers.${JOB_UUID}-server-admin.tls=true",
        "traefik.tcp.routers.${JOB_UUID}-server-admin.tls.passthrough=true",
        "traefik.tcp.routers.${JOB_UUID}-server-admin.entrypoints=nvflare_admin",
        "traefik.tcp.routers.${JOB_UUID}-server-admin.rule=HostSNI(`${JOB_UUID}-server.${meta.domain}-${BASE_DOMAIN}`)",
      ]
    }
    # Lacks traefik.enable=true, so nobody may reach it.
    service {
      name = "${JOB_UUID}-custom"
      port = "server"
      tags = [
        "traefik.http.routers.${JOB_UUID}-custom.tls=true",
        "traefik.http.routers.${JOB_UUID}-custom.rule=Host(`custom-${HOSTNAME}.${meta.domain}-${BASE_DOMAIN}`)",
      ]
    }

    task "main" {
      driver = "docker"

      config {
        image       = "${IMAGE}"
        command     = "python"
        args        = ["-u", "-c", "@probe", "serve"]
        ports       = ["server", "fedserver", "server-fl", "server-admin"]
        extra_hosts = ["${JOB_UUID}.${DOMAIN}-${BASE_DOMAIN}:${INGRESS}"]
      }
      env {
        NAME      = "${JOB_UUID}-server.${meta.domain}-${BASE_DOMAIN}"
        AUTHORITY = "${AUTHORITY}"
      }
      resources {
        cpu    = 100
        memory = 128
      }
    }
  }

  group "bridge" {
    network {
      mode = "bridge"

      port "ide" {
        to = 8080
      }
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

    task "main" {
      driver = "docker"

      config {
        image   = "${IMAGE}"
        command = "python"
        args    = ["-u", "-c", "@probe", "serve"]
      }
      env {
        NAME = "ide"
      }
      resources {
        cpu    = 50
        memory = 128
      }
    }
    # Of the same network: it reaches its neighbour at 127.0.0.1.
    task "neighbour" {
      driver = "docker"

      config {
        image   = "${IMAGE}"
        command = "python"
        args    = ["-u", "-c", "@probe", "neighbour"]
      }
      resources {
        cpu    = 50
        memory = 64
      }
    }
  }
}
