"""What the published image does before the engine starts: settings are variables with a dot, or all arguments are a
command; the password of `elastic` goes into the key store."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HOME = Path("/usr/share/elasticsearch")

if len(sys.argv) > 1:
    os.execvp(sys.argv[1], sys.argv[1:])
store = [HOME / "bin" / "elasticsearch-keystore", "add", "--force", "--stdin", "bootstrap.password"]
subprocess.run(store, input=os.environ["ELASTIC_PASSWORD"], text=True, check=True)
settings = [f"-E{name}={value}" for name, value in sorted(os.environ.items()) if "." in name]
engine = str(HOME / "bin" / "elasticsearch")
os.execv(engine, [engine, *settings])
