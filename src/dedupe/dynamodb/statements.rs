//! What is asked of the table, as statements of PartiQL. In: keys and items. Out: text and parameters.
//!
//! Values are parameters, never text. The table's name stands between double quotes, which no table's name holds.
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.statements.html>

use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, BatchStatementRequest};

use super::item::{Half, Item, Outcome, number, token};
use crate::dedupe::Token;

/// A statement about one item.
#[derive(Clone, Debug)]
pub(super) struct Statement {
    /// The item's key: one request must not name an item twice.
    pub(super) key: String,
    text: String,
    parameters: Vec<AttributeValue>,
}

impl Statement {
    fn new(key: &str, text: String, parameters: Vec<AttributeValue>) -> Self {
        Self { key: key.to_owned(), text, parameters }
    }

    /// Reads the newest version of the item.
    pub(super) fn look(table: &str, key: &str) -> Self {
        let text = format!(r#"SELECT * FROM "{table}" WHERE "key" = ?"#);
        Self::new(key, text, vec![text_value(key)])
    }

    /// A claim on a key of which nothing is known.
    pub(super) fn insert(table: &str, key: &str, claim: &Half, expires: AttributeValue) -> Self {
        let text = format!(r#"INSERT INTO "{table}" VALUE {{'key': ?, 'claim': ?, 'expires': ?}}"#);
        Self::new(key, text, vec![text_value(key), claim.attribute(), expires])
    }

    /// A claim on a key of which `seen` is known, unless that has changed.
    pub(super) fn take(table: &str, key: &str, seen: &Item, claim: &Half, window: Duration) -> Self {
        let expires = Item { claim: Some(claim.clone()), settled: seen.settled.clone() }.expires(window);
        let mut text = format!(r#"UPDATE "{table}" SET "claim" = ? SET "expires" = ? WHERE "key" = ?"#);
        let mut parameters = vec![claim.attribute(), expires, text_value(key)];
        // A renewal keeps the token and moves the end, so both have to be as they were.
        if let Some(seen) = &seen.claim {
            text += r#" AND "claim"."token" = ? AND "claim"."until" = ?"#;
            parameters.extend([token(seen.token), number(seen.until_ms)]);
        } else {
            text += r#" AND "claim" IS MISSING"#;
        }
        if let Some((seen, _)) = &seen.settled {
            text += r#" AND "settled"."token" = ?"#;
            parameters.push(token(seen.token));
        } else {
            text += r#" AND "settled" IS MISSING"#;
        }
        Self::new(key, text, parameters)
    }

    /// Ends the claim with this token, and remembers how.
    pub(super) fn settle(table: &str, key: &str, settled: (Half, Outcome)) -> Self {
        let text = format!(
            r#"UPDATE "{table}" SET "settled" = ? SET "expires" = ? REMOVE "claim" WHERE "key" = ? AND "claim"."token" = ?"#
        );
        let owner = token(settled.0.token);
        let attribute = Item::settled_attribute(&settled);
        let expires = Item { claim: None, settled: Some(settled) }.expires(Duration::ZERO);
        Self::new(key, text, vec![attribute, expires, text_value(key), owner])
    }

    /// Gives up the claim with this token, and with it the item: nothing else is known of the key.
    pub(super) fn delete_claimed(table: &str, key: &str, owner: Token) -> Self {
        let text = format!(
            r#"DELETE FROM "{table}" WHERE "key" = ? AND "claim"."token" = ? AND "settled" IS MISSING"#
        );
        Self::new(key, text, vec![text_value(key), token(owner)])
    }

    /// Gives up the claim with this token; what else is known stays.
    pub(super) fn remove_claim(table: &str, key: &str, owner: Token) -> Self {
        let text = format!(r#"UPDATE "{table}" REMOVE "claim" WHERE "key" = ? AND "claim"."token" = ?"#);
        Self::new(key, text, vec![text_value(key), token(owner)])
    }

    /// Removes the item, whatever it says, and answers with it.
    pub(super) fn forget(table: &str, key: &str) -> Self {
        let text = format!(r#"DELETE FROM "{table}" WHERE "key" = ? RETURNING ALL OLD *"#);
        Self::new(key, text, vec![text_value(key)])
    }

    /// As the SDK wants it. `consistent_read` holds for reads alone.
    pub(super) fn request(&self) -> Result<BatchStatementRequest, aws_sdk_dynamodb::error::BuildError> {
        let request = BatchStatementRequest::builder().statement(&self.text);
        let request = request.set_parameters(Some(self.parameters.clone()));
        request.set_consistent_read(self.text.starts_with("SELECT").then_some(true)).build()
    }
}

fn text_value(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dedupe::dynamodb::item::Ended, event::ContentHash};

    fn half(owner: u128, until_ms: u64) -> Half {
        Half { token: Token(owner), until_ms, content_hash: ContentHash([1; 32]), worker: "w".to_owned() }
    }

    #[test]
    fn reads_see_what_was_written_last() {
        let is_consistent = |statement: Statement| statement.request().unwrap().consistent_read;
        assert_eq!(is_consistent(Statement::look("ledger", "k")), Some(true));
        assert_eq!(is_consistent(Statement::forget("ledger", "k")), None, "a write may not ask for it");
    }

    /// The seen owner may renew, commit or give up, and others may claim, between the look and the taking: each of
    /// these changes something that is compared.
    #[test]
    fn a_claim_is_taken_only_from_an_item_that_is_as_it_was_seen() {
        let letter = Outcome { at_ms: 1, ended: Ended::DeadLettered { reason: "no_id".to_owned() } };
        for (claim, settled) in [(false, false), (true, false), (false, true), (true, true)] {
            let seen = Item {
                claim: claim.then(|| half(1, 11)),
                settled: settled.then(|| (half(2, 12), letter.clone())),
            };
            let take = Statement::take("ledger", "k", &seen, &half(3, 13), Duration::ZERO);
            let (_, conditions) = take.text.split_once("WHERE").unwrap();
            let compared = take.parameters[3..].to_vec();
            let mut expected = Vec::new();
            if claim {
                assert!(
                    conditions.contains(r#""claim"."token" = ? AND "claim"."until" = ?"#),
                    "{conditions}"
                );
                expected.extend([token(Token(1)), number(11)]);
            }
            if settled {
                assert!(conditions.contains(r#""settled"."token" = ?"#), "{conditions}");
                expected.push(token(Token(2)));
            }
            assert_eq!(conditions.contains(r#""claim" IS MISSING"#), !claim, "{conditions}");
            assert_eq!(conditions.contains(r#""settled" IS MISSING"#), !settled, "{conditions}");
            assert_eq!(compared, expected);
            assert_eq!(take.text.matches('?').count(), take.parameters.len());
        }
    }
}
