"""The names of all metrics that the program exports, read from its source."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Metrics whose panels and alerts are there before them. Whoever adds one of them to the program takes it out here.
PREPARED: set[str] = set()
# What Prometheus adds to the name of a histogram.
HISTOGRAM_PARTS = ("_bucket", "_sum", "_count")


def exported() -> set[str]:
    """Every `tributary_…` string of src/metrics.rs and its submodules; refuses to answer with nothing."""
    files = [ROOT / "src/metrics.rs", *sorted((ROOT / "src/metrics").glob("*.rs"))]
    text = "".join(file.read_text() for file in files if file.is_file())
    names = set(re.findall(r'"(tributary_[a-z0-9_]+)"', text))
    if not names:
        raise LookupError("no metric name found in src/metrics.rs")
    return names


def family(name: str, known: set[str]) -> str:
    """The name under which the program exports it: a histogram's parts belong to the histogram."""
    for part in HISTOGRAM_PARTS:
        if name.endswith(part) and name.removesuffix(part) in known:
            return name.removesuffix(part)
    return name
