"""Whether Grafana knows what our dashboards say. In: their JSON. Out: what the TypeScript compiler says of it.

Grafana publishes the types of its dashboards and panels as the package @grafana/schema. A dashboard that is written
into a TypeScript file as a constant of such a type has to have every member that Grafana needs, and none that it does
not know.
"""

import fcntl
import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PACKAGES = ["@grafana/schema@13.2.3", "typescript@5.9.3"]
COMPILER = "--noEmit --strict --skipLibCheck --module nodenext --moduleResolution nodenext --target es2022".split()
CURE = "these tests need Node 20 or newer with npm (https://nodejs.org; Debian: apt-get install nodejs npm)"


def complaints(boards: dict[str, dict]) -> str:
    """What the compiler says; nothing if all is well."""
    folder = installed()
    lines = [(HERE / "grafana.ts").read_text()]
    for name, board in boards.items():
        lines += constants(name.removesuffix(".json").replace("-", "_"), board)
    (folder / "dashboards.ts").write_text("\n".join(lines))
    compiler = ["node", "node_modules/typescript/bin/tsc", *COMPILER, "dashboards.ts"]
    return subprocess.run(compiler, cwd=folder, capture_output=True, text=True, check=False).stdout


def constants(name: str, board: dict) -> list[str]:
    """One dashboard as declarations; Grafana's type of a dashboard leaves open what only one kind of panel knows."""
    found = [constant(name, "Dashboard", board)]
    for panel in board["panels"]:
        kind, of_panel = panel["type"], f"{name}_{panel['id']}"
        if kind == "row":
            continue
        found.append(constant(f"{of_panel}_options", f"Options_{kind}", panel["options"]))
        custom = panel["fieldConfig"]["defaults"].get("custom")
        if custom is not None:
            found.append(constant(f"{of_panel}_custom", f"Custom_{kind}", custom))
    return found


def constant(name: str, kind: str, value: dict) -> str:
    return f"export const {name}: {kind} = {json.dumps(value)};"


def installed() -> Path:
    """A folder beside this virtual environment that holds exactly these packages; made once."""
    folder = Path(sys.prefix).parent / "grafana"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder / "packages.txt"
        if not done.is_file() or done.read_text() != "\n".join(PACKAGES):
            # Without one of its own, npm would look for a package.json in the folders above.
            (folder / "package.json").write_text('{"private": true, "type": "module"}')
            npm = "npm install --no-audit --no-fund --no-save --ignore-scripts --loglevel=error".split()
            try:
                subprocess.run([*npm, *PACKAGES], cwd=folder, check=True)
            except FileNotFoundError as error:
                raise RuntimeError(CURE) from error
            done.write_text("\n".join(PACKAGES))
    return folder
