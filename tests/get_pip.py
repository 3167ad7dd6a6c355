# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Stands in for the get-pip.py that ansible-test would download: the same pip, from the package index."""

from __future__ import annotations

import subprocess
import sys

if __name__ == "__main__":
    packages = [word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel")]
    subprocess.run([sys.executable, "-m", "ensurepip"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([sys.executable, "-m", "pip", "install", *packages], check=True)
