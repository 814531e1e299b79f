"""Whether Grafana knows what our dashboards say. In: their JSON. Out: what the TypeScript compiler says of it.

Grafana publishes the types of its dashboards and panels as the package @grafana/schema. A dashboard that is written
into a TypeScript file as a constant of such a type has to have every member that Grafana needs, and none that it does
not know.
"""

import json
import subprocess
from pathlib import Path

import npm

HERE = Path(__file__).resolve().parent
PACKAGES = ["@grafana/schema@13.2.3", "typescript@5.9.3"]
COMPILER = "--noEmit --strict --skipLibCheck --module nodenext --moduleResolution nodenext --target es2022".split()


def complaints(boards: dict[str, dict]) -> str:
    """What the compiler says; nothing if all is well."""
    folder = npm.installed("grafana", PACKAGES, type="module")
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
