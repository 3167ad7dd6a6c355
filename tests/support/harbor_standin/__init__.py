# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""A stand-in for Harbor: it keeps state, has Harbor's quirks, and is held to Harbor's own OpenAPI document."""
