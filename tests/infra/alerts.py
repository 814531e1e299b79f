"""What the alerts of this project must be, and ways to spoil them. In: the rule files. Out: what is wrong."""

import re
import shutil
import subprocess
from pathlib import Path

import expressions
import metric_names
import yaml

DASHBOARDS = metric_names.ROOT / "dashboards"
RUNBOOKS = metric_names.ROOT / "docs/runbooks"
# Prometheus writes it.
NOT_OURS = {"up"}
CURE = "the alerts are judged by Prometheus's own promtool (Debian: apt-get install prometheus)"


def promtool(*arguments: str) -> tuple[bool, str]:
    """Whether promtool is content, and what it says."""
    if shutil.which("promtool") is None:
        raise RuntimeError(CURE)
    ran = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    return ran.returncode == 0, ran.stdout + ran.stderr


def rules(name: str) -> list[dict]:
    """All rules of one file of dashboards/."""
    written = yaml.safe_load((DASHBOARDS / name).read_text())
    return [rule for group in written["groups"] for rule in group["rules"]]


def page(alert: str) -> str:
    """The name of the runbook of an alert: TributaryLanePaused has lane-paused."""
    words = re.findall(r"[A-Z][a-z]*", alert.removeprefix("Tributary"))
    return "-".join(words).lower()


def problems(alerts: list[dict], recorded: list[dict], known: set[str]) -> list[str]:
    """What is wrong with the rules as they are written."""
    found = []
    names = [alert["alert"] for alert in alerts]
    found += [f"{name} is there twice" for name in sorted({name for name in names if names.count(name) > 1})]
    for alert in alerts:
        found += [f"{alert['alert']}: {problem}" for problem in alert_problems(alert)]
    records = {rule["record"] for rule in recorded}
    asked = {name for rule in [*alerts, *recorded] for name in expressions.metrics(rule["expr"])}
    asked = {metric_names.family(name, known) for name in asked}
    found += [f"nobody exports or records {name}" for name in sorted(asked - known - records - NOT_OURS)]
    found += [f"nobody asks for {name}" for name in sorted(records - asked)]
    return found


def alert_problems(alert: dict) -> list[str]:
    found = []
    if not alert["alert"].startswith("Tributary"):
        found.append("the name does not begin with Tributary")
    if alert.get("labels", {}).get("severity") not in ("page", "ticket"):
        found.append("severity is neither page nor ticket")
    notes = alert.get("annotations", {})
    if len(notes.get("summary", "")) < 20 or len(notes.get("description", "")) < 60:
        found.append("does not say what is wrong and what to do")
    if notes.get("runbook_url") != f"docs/runbooks/{page(alert['alert'])}.md":
        found.append("does not name its runbook")
    return found


def labels_missing(alert: dict, cases: list[dict]) -> set[str]:
    """Labels that the annotations name and that the alert has not, in some case in which it fires."""
    named = set(re.findall(r"\$labels\.(\w+)", " ".join(alert["annotations"].values())))
    looks = [look for case in cases for look in case["promql_expr_test"]]
    samples = [sample["labels"] for look in looks for sample in look["exp_samples"]]
    fired = [sample for sample in samples if f'alertname="{alert["alert"]}"' in sample]
    return {name for name in named for sample in fired if not re.search(rf'\b{name}="', sample)}


def spoilt(expression: str) -> list[str]:
    """The expression with one comparison moved: so far that it never holds, and so near that it holds too soon."""
    found = []
    for match in re.finditer(r"(==|!=|<=|>=|<|>) ([0-9.]+)", expression):
        before, after = expression[: match.start()], expression[match.end() :]
        for other in moved(match.group(1), float(match.group(2))):
            found.append(before + other + after)
    return found


def moved(operator: str, number: float) -> list[str]:
    match operator:
        case ">" | ">=":
            return [f"{operator} 1e12", f"> {number / 2}" if number else ">= 0"]
        case "<" | "<=":
            return [f"{operator} -1", f"{operator} {number * 1.5}"]
        case "==":
            return ["== 1e12", ">= -1"]
        case _:
            return ["> 0", "< 0"]


def cases_about(alert: dict, recorded: list[dict], tests: Path) -> dict:
    """The test cases of a file in which there is anything that this alert asks for; no other can tell how it is."""
    by_record = {rule["record"]: expressions.metrics(rule["expr"]) for rule in recorded}
    asked = expressions.metrics(alert["expr"])
    asked |= {metric for name in asked for metric in by_record.get(name, set())}
    written = yaml.safe_load(tests.read_text())
    is_about = [any(one["series"].split("{")[0] in asked for one in case["input_series"]) for case in written["tests"]]
    written["tests"] = [case for case, is_kept in zip(written["tests"], is_about, strict=True) if is_kept]
    return written


def satisfied(cases: dict, text: str, folder: Path) -> bool:
    """Whether the cases are content with another text of alerts.yml."""
    (folder / "tests").mkdir()
    shutil.copy(DASHBOARDS / "rules.yml", folder)
    (folder / "alerts.yml").write_text(text)
    (folder / "tests/cases.yml").write_text(yaml.safe_dump(cases))
    is_content, _ = promtool("test", "rules", str(folder / "tests/cases.yml"))
    return is_content
