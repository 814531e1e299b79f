"""Packages of Node for the tests. In: names and versions. Out: the folder that holds exactly these."""

import fcntl
import json
import subprocess
import sys
from pathlib import Path

INSTALL = "npm install --no-audit --no-fund --no-save --ignore-scripts --loglevel=error".split()
CURE = "these tests need Node 20 or newer with npm (https://nodejs.org; Debian: apt-get install nodejs npm)"


def installed(name: str, packages: list[str], **manifest: str) -> Path:
    """A folder of that name beside this virtual environment; made once. `manifest` goes into its package.json."""
    folder = Path(sys.prefix).parent / name
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder / "packages.txt"
        if not done.is_file() or done.read_text() != "\n".join(packages):
            # Without one of its own, npm would look for a package.json in the folders above.
            (folder / "package.json").write_text(json.dumps({"private": True, **manifest}))
            try:
                subprocess.run([*INSTALL, *packages], cwd=folder, check=True)
            except FileNotFoundError as error:
                raise RuntimeError(CURE) from error
            done.write_text("\n".join(packages))
    return folder
