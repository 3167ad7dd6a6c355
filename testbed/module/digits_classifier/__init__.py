# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors

"""A DEEPaaS module that recognises handwritten digits."""
