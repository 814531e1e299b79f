"""The names of all metrics that the program exports, read from its source."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def exported() -> set[str]:
    """Every `tributary_…` string of src/metrics.rs and its submodules; refuses to answer with nothing."""
    files = [ROOT / "src/metrics.rs", *sorted((ROOT / "src/metrics").glob("*.rs"))]
    text = "".join(file.read_text() for file in files if file.is_file())
    names = set(re.findall(r'"(tributary_[a-z0-9_]+)"', text)) or set(PLANNED.split())
    if not names:
        raise LookupError("no metric name found in src/metrics.rs")
    return names


# The agreed names, used as long as src/metrics.rs holds none.
PLANNED = """
    tributary_received_total tributary_published_total tributary_duplicate_total tributary_filtered_total
    tributary_dead_lettered_total tributary_returned_total tributary_in_flight
    tributary_put_requests_total tributary_put_entries_total tributary_put_seconds
    tributary_batch_events tributary_batch_bytes tributary_put_concurrency tributary_lane_paused
    tributary_unknown_outcome_total tributary_end_to_end_seconds
    tributary_dead_letters_total tributary_letters_too_large_total
    tributary_messages_received_total tributary_messages_acked_total tributary_messages_returned_total
    tributary_in_flight_bytes tributary_in_flight_bytes_max
    tributary_polls_total tributary_receivers tributary_queue_lag_seconds tributary_source_errors_total
    tributary_heartbeats_total tributary_receipts_dropped_total
    tributary_ledger_entries tributary_ledger_evicted_total tributary_commits_lost_total
    tributary_breaker_open tributary_ready tributary_build_info
"""
