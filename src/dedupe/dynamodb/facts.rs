//! What a table says of itself. In: a table. Out: facts for an operator, with what is wrong and what cures it.

use aws_sdk_dynamodb::{
    Client,
    types::{
        BillingMode, KeyType, ScalarAttributeType, TableDescription, TimeToLiveDescription, TimeToLiveStatus,
    },
};

use crate::{
    aws::{dynamodb, failure},
    dedupe::Fact,
    failure::CallError,
};

/// The attribute that holds when an item may be removed.
const EXPIRES: &str = "expires";
/// The whole primary key.
pub(super) const KEY: &str = "key";

/// Two requests, none of which reads an item.
///
/// # Errors
/// The table could not be asked.
pub(super) async fn facts(client: &Client, table: &str) -> Result<Vec<Fact>, CallError> {
    let described = client.describe_table().table_name(table).send().await;
    let described = described
        .map_err(|error| dynamodb::class_of(failure(&error), table, KEY, "dynamodb:DescribeTable"))?
        .table;
    let lives = client.describe_time_to_live().table_name(table).send().await;
    let lives = lives
        .map_err(|error| dynamodb::class_of(failure(&error), table, KEY, "dynamodb:DescribeTimeToLive"))?
        .time_to_live_description;
    let mut facts = vec![fact("table", table.to_owned(), None)];
    facts.extend(described.iter().flat_map(of_table));
    facts.push(of_time_to_live(lives.as_ref()));
    Ok(facts)
}

fn of_table(table: &TableDescription) -> Vec<Fact> {
    let status = table.table_status.as_ref().map_or("unknown", |status| status.as_str());
    let is_usable = matches!(status, "ACTIVE" | "UPDATING");
    let warning = (!is_usable).then(|| "the table takes no writes in this state".to_owned());
    let counted = |count: Option<i64>| format!("{} (counted every six hours)", count.unwrap_or_default());
    vec![
        fact("status", status.to_owned(), warning),
        of_key(table),
        fact("items", counted(table.item_count), None),
        fact("bytes", counted(table.table_size_bytes), None),
        of_billing(table),
    ]
}

fn of_key(table: &TableDescription) -> Fact {
    let keys = table.key_schema().iter().map(|part| (part.attribute_name.as_str(), &part.key_type));
    let is_text = |name: &str| {
        let mut kinds = table.attribute_definitions().iter();
        kinds.any(|kind| kind.attribute_name == name && kind.attribute_type == ScalarAttributeType::S)
    };
    let keys: Vec<_> = keys.collect();
    let is_right = keys == [(KEY, &KeyType::Hash)] && is_text(KEY);
    let names: Vec<_> = keys.iter().map(|(name, _)| *name).collect();
    let warning =
        "the key cannot be changed: make another table, with the partition key `key` of type S alone";
    fact("key", names.join(", "), (!is_right).then(|| warning.to_owned()))
}

/// A table that was never on demand says nothing of its billing.
fn of_billing(table: &TableDescription) -> Fact {
    let mode = table.billing_mode_summary.as_ref().and_then(|summary| summary.billing_mode.as_ref());
    if mode == Some(&BillingMode::PayPerRequest) {
        return fact("billing", "on demand".to_owned(), None);
    }
    let writes =
        table.provisioned_throughput.as_ref().and_then(|provisioned| provisioned.write_capacity_units);
    let writes = writes.unwrap_or_default();
    let warning = "each event takes two writes: without auto scaling this bounds the events a second";
    fact("billing", format!("provisioned, {writes} write units a second"), Some(warning.to_owned()))
}

fn of_time_to_live(lives: Option<&TimeToLiveDescription>) -> Fact {
    let status = lives.and_then(|lives| lives.time_to_live_status.as_ref());
    let attribute = lives.and_then(|lives| lives.attribute_name.as_deref()).unwrap_or_default();
    let is_on = matches!(status, Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling));
    let value = if is_on { format!("on `{attribute}`") } else { "off".to_owned() };
    let warning = "items are never removed and cost storage: enable time to live on the attribute `expires`";
    fact("time to live", value, (!is_on || attribute != EXPIRES).then(|| warning.to_owned()))
}

fn fact(what: &'static str, value: String, warning: Option<String>) -> Fact {
    Fact { what, value, warning }
}
