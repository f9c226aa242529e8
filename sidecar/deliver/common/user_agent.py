"""How the program names itself to destinations."""

from __future__ import annotations

import sidecar

USER_AGENT = f"model-sidecar/{sidecar.__version__}"
