// SPDX-License-Identifier: GPL-3.0-or-later
// Copyright (c) 2026 imagine.platform contributors

module imagine.platform/build/nomad

go 1.25.8

require github.com/hashicorp/nomad v1.11.3

// Replacements apply only to the main module, so Nomad's own are repeated here.
replace (
	github.com/Microsoft/go-winio => github.com/endocrimes/go-winio v0.4.13-0.20190628114223-fb47a8b41948
	github.com/hashicorp/hcl => github.com/hashicorp/hcl v1.0.1-nomad-1
	github.com/hashicorp/nomad/api => github.com/hashicorp/nomad/api v0.0.0-20260324203407-b27b0c2e019a
)
