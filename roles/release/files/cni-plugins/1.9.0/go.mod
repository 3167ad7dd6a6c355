// SPDX-License-Identifier: GPL-3.0-or-later
// Copyright (c) 2026 imagine.platform contributors

module imagine.platform/build/cni-plugins

go 1.25

require github.com/containernetworking/plugins v1.9.0
