"""Whether what the pages tell people to type exists. In: fenced blocks. Out: commands, options and keys that do not."""

import os
import re
import shlex
import subprocess
from functools import cache

import pages

TRIBUTARY = os.environ.get("TRIBUTARY", "tributary")
SHELLS = {"sh", "console", "bash"}
# Variables that are no configuration: the commands' own, and those of `tributary local`.
OWN_VARIABLES = {"TRIBUTARY_CONFIG", "TRIBUTARY_LAKE_URL", "TRIBUTARY_LOCAL_EXTERNAL_ID"}
TEMPLATE = next(pages.ROOT.glob("infra/**/tributary.yaml"))


def complaints(text: str) -> list[str]:
    """Everything that a page tells to type or to set, and that is not there."""
    lines = [line for block in pages.blocks(text) if block.language in SHELLS for line in typed(block)]
    found = [problem for line in lines for problem in (*of_tributary(line), *of_the_stack(line))]
    known = set(re.findall(r"TRIBUTARY_[A-Z_]+", (pages.ROOT / "config.reference.toml").read_text())) | OWN_VARIABLES
    for name in sorted(set(re.findall(r"\bTRIBUTARY_[A-Z_]*[A-Z]\b(?!…)", text)) - known):
        # A destination of another name has variables of its own.
        if not re.match("TRIBUTARY_DESTINATIONS_", name):
            found.append(f"there is no variable {name}")
    return found


def typed(block: pages.Block) -> list[str]:
    """The commands of a block, each on one line; of a console those behind the prompt."""
    text = block.text.replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines()]
    if block.language == "console":
        return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return lines


def of_tributary(line: str) -> list[str]:
    """Every call of the program in a line: does the command have the options?"""
    found = []
    for call in re.findall(r"(?:^|\| |; |&& |\$\()tributary ([a-z][^|;#()]*)", line):
        words = shlex.split(call.replace("'", "").replace('"', ""))
        names = [word for word in words if not word.startswith("-")]
        text = told(words[0])
        if text is None:
            found.append(f"there is no command {words[0]}")
            continue
        # `ledger get`, `formats test`: the options of both hold.
        text += (told(words[0], names[1]) or "") if len(names) > 1 and f"\n  {names[1]} " in text else ""
        options = {word.partition("=")[0] for word in words if word.startswith("--")}
        known = set(re.findall(r"--[a-z-]+", text))
        found += [f"{words[0]} has no option {option}" for option in sorted(options - known)]
    return found


def of_the_stack(line: str) -> list[str]:
    """Parameters and outputs of the template."""
    template = TEMPLATE.read_text()
    parameters = set(re.findall(r"^  (\w+):$", section(template, "Parameters"), re.MULTILINE))
    outputs = set(re.findall(r"^  (\w+):$", section(template, "Outputs"), re.MULTILINE))
    named = re.findall(r"(\w+)=", line.partition("--parameter-overrides ")[2])
    found = [f"the template has no parameter {name}" for name in named if name not in parameters]
    asked = re.findall(r"OutputKey==.(\w+)", line) + re.findall(r"\$\(output (\w+)\)", line)
    return found + [f"the template has no output {name}" for name in asked if name not in outputs]


def section(template: str, name: str) -> str:
    return re.split(r"^\w", template.partition(f"\n{name}:\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


@cache
def told(*command: str) -> str | None:
    """The long help of a command, or nothing if there is no such command."""
    ran = subprocess.run([TRIBUTARY, *command, "--help"], env={}, capture_output=True, text=True, check=False)
    return ran.stdout if ran.returncode == 0 else None


def metrics(text: str) -> set[str]:
    """The metrics that a page names, without the endings that histograms add."""
    found = re.findall(r"\btributary_[a-z_]+[a-z]\b(?![./_-]|…)", text)
    return {re.sub(r"_seconds_(bucket|sum|count)$", "_seconds", name) for name in found}
