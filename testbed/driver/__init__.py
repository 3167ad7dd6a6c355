# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""What brings up, shows and takes away the local federation. Standard library only, since it makes .venv."""
