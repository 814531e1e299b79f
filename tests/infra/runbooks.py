"""What a runbook must be. In: the pages, the alerts and the dashboards. Out: what is wrong."""

import functools
import re
from pathlib import Path

import alerts
import metric_names

HEADINGS = ["What it means", "Look here", "Do this"]
SEVERITIES = {"**Pages.**": "page", "**Ticket.**": "ticket"}
INDEX = "README.md"
# Where /readyz's own words are explained. Two of its causes have alerts, and so pages, of their own.
NOT_READY, WITH_PAGES = "not-ready.md", {"breaker", "destination"}


def problems(pages: dict[str, str], rules: list[dict], boards: dict[str, dict], commands: set[str]) -> list[str]:
    """Every problem at once; pages by the name of their file."""
    found = []
    by_page = {f"{alerts.page(rule['alert'])}.md": rule for rule in rules}
    found += [f"no page for {rule['alert']}" for name, rule in by_page.items() if name not in pages]
    found += [f"{name}: no alert leads here" for name in sorted(pages.keys() - by_page.keys() - {INDEX})]
    for name, rule in by_page.items():
        if name in pages:
            found += [f"{name}: {problem}" for problem in page_problems(pages[name], rule)]
            found += [f"the index does not list {name}"] * (not is_listed(pages.get(INDEX, ""), name, rule))
    told = pages.get(NOT_READY, "")
    found += [f"{NOT_READY}: no cure for {cause}" for cause in sorted(causes()) if f"\n| `{cause}" not in told]
    for name, text in pages.items():
        found += [f"{name}: {problem}" for problem in said_wrongly(text, boards, commands)]
    return found


def page_problems(text: str, rule: dict) -> list[str]:
    """A page has its alert's name, its severity, and its three parts, none of them empty."""
    found = []
    title, _, rest = text.partition("\n")
    if title != f"# {rule['alert']}":
        found.append("the title is not the alert's name")
    first = rest.strip().split(" ")[0]
    if SEVERITIES.get(first) != rule["labels"]["severity"]:
        found.append("does not begin with its severity")
    parts = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    if [part.partition("\n")[0] for part in parts] != HEADINGS:
        found.append(f"the headings are not {HEADINGS}")
    found += ["names no panel to look at"] * (not re.search(r"^- \*[^*]+\* → \*\*", text, flags=re.MULTILINE))
    found += [f"a part is empty: {part.partition(chr(10))[0]}" for part in parts if len(part.strip()) < 60]
    return found


def is_listed(index: str, name: str, rule: dict) -> bool:
    """In the chapter of the index that is for its severity."""
    paged, _, ticketed = index.partition("\n## Tickets")
    return f"[{rule['alert']}]({name})" in (paged if rule["labels"]["severity"] == "page" else ticketed)


def said_wrongly(text: str, boards: dict[str, dict], commands: set[str]) -> list[str]:
    """Panels, commands, metrics, log lines and files that a page names and that are not there."""
    found = []
    titles = {board["title"].removeprefix("Tributary: ").capitalize(): board for board in boards.values()}
    for item in re.findall(r"^- .*(?:\n  .*)*", text, flags=re.MULTILINE):
        found += absent_panels(item, titles)
    for command in re.findall(r"tributary ([a-z]+)[ `]", "\n".join(re.findall(r"`tributary [^`]*`", text))):
        found += [f"no command {command}"] * (command not in commands)
    known = metric_names.exported() | metric_names.PREPARED
    found += [f"no metric {name}" for name in re.findall(r"tributary_[a-z_]+", text) if name not in known]
    for lines in re.findall(r"^- The log: (.*(?:\n  .*)*)", text, flags=re.MULTILINE):
        quoted = [" ".join(line.split()) for line in re.findall(r"`([^`]+)`", lines)]
        found += [f"nobody logs {line}" for line in quoted if " " in line and line not in source()]
    for link, chapter in re.findall(r"\]\(([^)#:]+)(?:#([^)]*))?\)", text):
        found += [f"leads nowhere: {link}"] * (not is_there(alerts.RUNBOOKS / link, chapter))
    return found


def is_there(file: Path, chapter: str) -> bool:
    """Whether the file is there, and in it the chapter, if one is named."""
    if not file.is_file() or not chapter:
        return file.exists()
    titles = re.findall(r"^#+ (.+)", file.read_text(), flags=re.MULTILINE)
    return chapter in {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}


def absent_panels(item: str, titles: dict[str, dict]) -> list[str]:
    """`*Dashboard* → **Panel**, **Panel**` in one item of a list."""
    found = []
    there: set[str] | None = None
    for panel, of in re.findall(r"\*\*([^*]+)\*\*|\*([^*]+)\* →", item):
        if of:
            there = {one["title"] for one in titles.get(of, {"panels": []})["panels"]}
            found += [f"no dashboard {of}"] * (of not in titles)
        elif there is not None and panel not in there:
            found.append(f"no panel {panel} where it is said to be")
    return found


def causes() -> set[str]:
    """The first words of the lines of /readyz that have no page of their own."""
    gate = (metric_names.ROOT / "src/gate.rs").read_text().partition("impl fmt::Display for Cause")[2]
    found = set(re.findall(r'=> (?:f\.write_str\(|write!\(f, )"(\w+)', gate.partition("\n}\n")[0]))
    if not WITH_PAGES < found:
        raise LookupError("no causes found in src/gate.rs")
    return found - WITH_PAGES


@functools.cache
def source() -> str:
    """The program's own text, with the line breaks inside of string literals taken out."""
    files = sorted(Path(metric_names.ROOT / "src").rglob("*.rs"))
    return re.sub(r"\\\n\s*", "", "".join(file.read_text() for file in files))
