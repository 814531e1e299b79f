#!/usr/bin/env python3
"""Plants one fault after the other in a copy of the spine and tells which check of the simulation catches it.

A test that cannot fail is a defect: this is how the simulation shows that it can. Run it after a change of the spine:

    python3 tests/simulation/planted_faults.py            # all, some minutes
    python3 tests/simulation/planted_faults.py group      # those whose name contains a word

Exit code 1 if a fault is not caught, or can no longer be planted because the code has changed.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
COPY = ROOT / "target" / "planted" / "tree"
BUILD = ROOT / "target" / "planted" / "build"
# Fewer than in an ordinary run: a fault that so few stories catch is caught well.
SEEDS = "0..40"

# name, file, what stands there, what is planted instead
FAULTS = [
    ("a returned delivery is acked", "src/settle.rs",
     "Self::Return(after) => Some(*after),", "Self::Return(_) => None,"),
    ("a dropped delivery is acked", "src/settle.rs",
     "Self::Drop => Some(Duration::ZERO),", "Self::Drop => None,"),
    ("a message is acked with its first delivery", "src/settle/receipt.rs",
     "(self.open.fetch_sub(1, Ordering::AcqRel) == 1).then(|| self.end())",
     "{ self.open.fetch_sub(1, Ordering::AcqRel); Some(self.end()) }"),
    ("an unmentioned event counts as published", "src/publish/attempts.rs",
     "Verdict::TryAgain { .. } | Verdict::Unknown => trying.tries += 1,",
     "Verdict::Unknown => { trying.delivery.receipt.ack(Proof::Published(Published::new(trying.delivery.event, "
     "String::new(), SystemTime::now()))); continue; } Verdict::TryAgain { .. } => trying.tries += 1,"),
    ("a put-off event counts as published", "src/publish/attempts.rs",
     "Verdict::TryAgain { .. } | Verdict::Unknown => trying.tries += 1,",
     "Verdict::TryAgain { .. } => { trying.delivery.receipt.ack(Proof::Published(Published::new(trying.delivery.event, "
     "String::new(), SystemTime::now()))); continue; } Verdict::Unknown => trying.tries += 1,"),
    ("an event is marked as seen before it is published", "src/dedupe/memory.rs",
     "        self.open.insert(key, Open { token: wish.token, content, lease_until: now + lease });\n",
     "        self.open.insert(key, Open { token: wish.token, content, lease_until: now + lease });\n"
     "        self.settled.insert(key, Settled { content, dead_lettered: None });\n"),
    ("a claim in other hands counts as won", "src/dedupe/memory.rs",
     "&& open.lease_until > now", "&& open.lease_until > now + lease"),
    ("claims are not kept alive", "src/pipeline.rs",
     "() = dedupe.keep_alive() => {}", "() = std::future::pending() => {}"),
    ("messages are not kept alive", "src/pipeline.rs",
     "() = self.source.keep_alive() => {}", "() = std::future::pending() => {}"),
    ("dead letters are not committed", "src/settle.rs",
     "Some(Final::DeadLettered { reason: letter.reason() })", "{ let _ = letter.reason(); None }"),
    ("a letter that could not be stored counts as stored", "src/dead_letter.rs",
     "if posting.tries < TRIES_MAX {\n                    return Some(posting);\n                }\n"
     "                posting.delivery.receipt.return_after(AGAIN_AFTER);",
     "posting.delivery.receipt.ack(Proof::DeadLettered(DeadLettered(reason)));"),
    ("a conflict counts as a duplicate", "src/dedupe/stage.rs",
     "if content_hash != delivery.event.content_hash =>", "if content_hash == ContentHash([7; 32]) =>"),
    ("commits give up after four tries", "src/settle/settler.rs",
     "            tries += 1;\n", "            tries += 1;\n            if tries > 4 { return; }\n"),
    ("nobody leaves the first seconds to the commits", "src/dedupe/stage.rs",
     "            sleep(COMMITS_FIRST).await;\n", ""),
    ("a commit is thrown away when its answer is lost", "src/settle/settler.rs",
     "if result.is_ok() || is_last {", "if result.is_ok() || !is_last {"),
    ("the rest of a group overtakes a returned message", "src/receive/intake.rs",
     "if !matches!(ended.await, Ok(MessageEnd::Acked)) {\n                    return;\n                }",
     "drop(ended);"),
    ("a batch grows beyond the bytes of a request", "src/batch.rs",
     "&& self.bytes + event.wire_bytes() <= self.limits.bytes_max", ""),
    ("a returned delivery is not counted", "src/flow.rs",
     "Ending::Returned => counts.returned += 1,", "Ending::Returned => {}"),
    ("a pause without anything in hand never ends", "src/gate.rs",
     "|| closed.said_at.elapsed() < SAID_AGAIN_WITHIN;", "|| closed.said_at.elapsed() < SAID_AGAIN_WITHIN * 9_999;"),
    ("an outage gives messages back instead of waiting", "src/publish/attempts.rs",
     "                self.lane.count_failure(&code);\n                self.requests.push(request);",
     "                self.lane.count_failure(&code);\n                drop(request);"),
    ("what is in other hands is given back instead of waiting", "src/pipeline.rs",
     "drop(to_waiting.send(delivery));", "drop((&to_waiting, delivery));"),
    ("a guilty event is not told from its neighbours", "src/publish/attempts.rs",
     "        if request.len() > 1 {\n            let second_half",
     "        if request.len() > 1_000 {\n            let second_half"),
]


def copy_tree():
    shutil.rmtree(COPY, ignore_errors=True)
    files = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                           cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    for name in filter(None, files):
        if (ROOT / name).is_file():
            (COPY / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, COPY / name)


def caught_by(output):
    """The first failed check, as the simulation words it."""
    lines = output.splitlines()
    for at, line in enumerate(lines):
        if "panicked at" in line and "PoisonError" not in lines[at + 1]:
            return re.sub(r"\s+", " ", lines[at + 1])[:110]
    return "a failure without words" if "FAILED" in output else None


def plant(name, file, old, new):
    path = COPY / file
    text = path.read_text()
    if old not in text:
        return "CANNOT BE PLANTED: the code has changed", False
    path.write_text(text.replace(old, new, 1))
    try:
        environment = dict(os.environ, CARGO_TARGET_DIR=str(BUILD), RUST_BACKTRACE="0", SIMULATION_SEEDS=SEEDS)
        run = subprocess.run(["cargo", "test", "--quiet", "--test", "simulation"], cwd=COPY, env=environment,
                             capture_output=True, text=True)
        if "error: could not compile" in run.stderr or "error[E" in run.stderr:
            return "DOES NOT COMPILE: " + run.stderr.split("error", 1)[1][:200], False
        check = caught_by(run.stdout + run.stderr)
        return (check or "NOT CAUGHT"), check is not None
    finally:
        path.write_text(text)


def main():
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    copy_tree()
    all_caught = True
    print("| planted fault | caught by |\n| --- | --- |")
    for name, file, old, new in FAULTS:
        if wanted in name:
            check, is_caught = plant(name, file, old, new)
            all_caught &= is_caught
            print(f"| {name} | {check} |", flush=True)
    sys.exit(0 if all_caught else 1)


if __name__ == "__main__":
    main()
