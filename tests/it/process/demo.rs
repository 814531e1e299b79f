//! `tributary demo`, as its user sees it.

use std::process::{Command, Stdio};

use serde_json::Value;

#[test]
fn the_demo_accounts_for_every_event() {
    let output = Command::new(env!("CARGO_BIN_EXE_tributary"))
        .args(["demo", "--events", "3000", "--json", "--seed", "7"])
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .expect("the binary can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let account: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert_eq!(account["imbalance"], 0);
    assert_eq!(account["disagreements"], Value::Array(Vec::new()));
    assert_eq!(account["in_lake"], account["sent"]["unique"]);
    let sent: u64 = ["unique", "duplicates", "invalid"]
        .map(|kind| account["sent"][kind].as_u64().expect("a number"))
        .iter()
        .sum();
    assert_eq!(sent, 3_000);
    assert_eq!(account["deliveries"]["received"], 3_000);
}
