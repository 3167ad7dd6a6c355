// SPDX-License-Identifier: GPL-3.0-or-later
// Copyright (c) 2026 imagine.platform contributors

module imagine.platform/build/consul

go 1.25.8

require github.com/hashicorp/consul v1.22.6

// Exclusions apply only to the main module, so Consul's own are repeated here.
exclude (
	github.com/hashicorp/go-msgpack v1.1.5
	github.com/hashicorp/go-msgpack v1.1.6
)
