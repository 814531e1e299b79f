"""What the pages of this repository say. In: Markdown. Out: links, headings, fenced blocks, and what is wrong with them."""

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
# A page is found from one of these.
ROOTS = [ROOT / "README.md", ROOT / "docs/README.md"]
FENCE = re.compile(r"^( *)(```+)([^\n]*)\n(.*?)^\1\2$", re.MULTILINE | re.DOTALL)
# A template is no page: a script makes one of it.
PAGES = sorted(
    page for folder in (ROOT, *(ROOT / name for name in ("dashboards", "docs", "infra", "queries", "tests")))
    for page in (folder.glob("*.md") if folder == ROOT else folder.rglob("*.md")) if ".template." not in page.name
)


class Block(NamedTuple):
    """A fenced block: its language, what else stands beside that, its text."""

    language: str
    marks: list[str]
    text: str


def blocks(text: str) -> list[Block]:
    """Every fenced block, indented ones too."""
    found = []
    for indent, _, info, body in FENCE.findall(text):
        language, *marks = info.split() or [""]
        found.append(Block(language, marks, re.sub(f"^{indent}", "", body, flags=re.MULTILINE)))
    return found


def links(text: str) -> list[str]:
    """Where a page leads within the repository; what only looks like a link in code does not count."""
    prose = re.sub(r"`[^`\n]+`", "`code`", FENCE.sub("", text))
    targets = re.findall(r"\]\(<?([^)<>\s]+)>?\)", prose) + re.findall(r"^\[[^\]]+\]: (\S+)$", prose, re.MULTILINE)
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def anchors(text: str) -> set[str]:
    """The names that GitHub gives to headings: https://docs.github.com/en/get-started/writing-on-github."""
    found: dict[str, int] = {}
    for title in re.findall(r"^#{1,6} +(.+?)(?: +#+)?$", FENCE.sub("", text), re.MULTILINE):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title)
        slug = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        found[slug] = found.get(slug, -1) + 1
    return {f"{slug}-{number}" if number else slug for slug, last in found.items() for number in range(last + 1)}


def broken(page: Path, text: str) -> list[str]:
    """The links of a page that lead nowhere."""
    found = []
    for link in links(text):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or not target.is_relative_to(ROOT):
            found.append(f"{link}: there is no such file")
        elif anchor and target.suffix == ".md" and anchor not in anchors(text if target == page else read(target)):
            found.append(f"{link}: there is no such heading")
    return found


def reachable(roots: list[Path]) -> set[Path]:
    """All pages that one comes to by following links; a folder stands for its README."""
    found: set[Path] = set()
    waiting = [root for root in roots if root.exists()]
    while waiting:
        page = waiting.pop()
        if page in found:
            continue
        found.add(page)
        for link in links(read(page)):
            target = (page.parent / link.partition("#")[0]).resolve()
            target = target / "README.md" if target.is_dir() else target
            if target.suffix == ".md" and target.exists():
                waiting.append(target)
    return found


@cache
def read(page: Path) -> str:
    return page.read_text()
