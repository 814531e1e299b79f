//! Leases in a table of DynamoDB. In: changes. Out: conditional writes, each of one item.
//!
//! What a change expects becomes the condition of its write, so that looking and writing are one step:
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.ConditionExpressions.html>.

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_dynamodb::{
    Client,
    types::{AttributeValue, ReturnValue},
};

use super::{
    Change, ChangeError, Conflict, Lease, LeaseTable, Leases, ShardId,
    item::{
        self, Attributes, CHECKPOINT, CHECKPOINT_OWNER, CHILDREN, COUNTER, KEY, OWNER, PENDING, STARTED_MS,
        SUB_SEQUENCE, SWITCHES, number, text,
    },
};
use crate::{
    aws::{Aws, Failure, dynamodb::class_of, failure},
    failure::CallError,
    receive::kinesis::position::Checkpoint,
};

/// What the role must be allowed.
const ACTIONS: &str =
    "dynamodb:Scan, dynamodb:GetItem, dynamodb:PutItem, dynamodb:UpdateItem and dynamodb:DeleteItem";
/// A condition that does not hold is an answer, not a failure.
const REFUSED: &str = "ConditionalCheckFailedException";

/// A table of leases.
#[derive(Clone, Debug)]
pub struct DynamoDbLeases {
    client: Client,
    table: Arc<str>,
}

impl DynamoDbLeases {
    /// The table with this name.
    pub fn new(aws: &Aws, table: &str) -> Self {
        Self { client: aws.leases(), table: table.into() }
    }

    fn failed(&self, failed: Failure) -> ChangeError {
        if failed.code == REFUSED {
            return Conflict.into();
        }
        ChangeError::Call(self.class(failed))
    }

    fn class(&self, failed: Failure) -> CallError {
        match class_of(failed, &self.table, KEY, ACTIONS) {
            // It reaches the operator as what is wrong with the source.
            CallError::Transient { code, message } => {
                CallError::transient(code, format!("the table {}: {message}", self.table))
            }
            other => other,
        }
    }

    fn read(&self, attributes: &Attributes) -> Result<Option<Lease>, CallError> {
        item::read(attributes).map_err(|unreadable| {
            let text = format!(
                "an item of the table {} is no lease of one stream (its {} cannot be read): name a table that holds \
                 the leases of this stream alone",
                self.table, unreadable.0
            );
            CallError::misconfigured("no_lease", text)
        })
    }

    async fn create(&self, lease: &Lease) -> Result<Option<Lease>, ChangeError> {
        let call = self.client.put_item().table_name(&*self.table).set_item(Some(item::written(lease)));
        let call =
            call.condition_expression("attribute_not_exists(#0)").expression_attribute_names("#0", KEY);
        call.send().await.map_err(|error| self.failed(failure(&error)))?;
        Ok(Some(lease.clone()))
    }

    async fn delete(&self, shard: &ShardId) -> Result<Option<Lease>, ChangeError> {
        let (ended, _) = Checkpoint::ShardEnd.written();
        let call = self.client.delete_item().table_name(&*self.table).key(KEY, text(&**shard));
        let call = call.condition_expression("#0 = :0").expression_attribute_names("#0", CHECKPOINT);
        let call = call.expression_attribute_values(":0", text(ended));
        call.send().await.map_err(|error| self.failed(failure(&error)))?;
        Ok(None)
    }

    async fn update(&self, shard: &ShardId, update: Update) -> Result<Option<Lease>, ChangeError> {
        let mut call = self.client.update_item().table_name(&*self.table).key(KEY, text(&**shard));
        call = call.return_values(ReturnValue::AllNew);
        call = call.update_expression(update.expression()).condition_expression(update.condition);
        for (at, name) in update.names.iter().enumerate() {
            call = call.expression_attribute_names(format!("#{at}"), *name);
        }
        for (at, value) in update.values.into_iter().enumerate() {
            call = call.expression_attribute_values(format!(":{at}"), value);
        }
        let answer = call.send().await.map_err(|error| self.failed(failure(&error)))?;
        let unmentioned = || CallError::transient("unmentioned", "the answer omits the lease");
        let after = answer.attributes.ok_or_else(unmentioned)?;
        self.read(&after)?.map(Some).ok_or_else(|| unmentioned().into())
    }

    async fn scan(&self, is_consistent: bool) -> Result<Leases, CallError> {
        let mut leases = Leases::new();
        let mut start = None;
        loop {
            let call = self.client.scan().table_name(&*self.table).consistent_read(is_consistent);
            let call = call.set_exclusive_start_key(start.take());
            let page = call.send().await.map_err(|error| self.class(failure(&error)))?;
            for attributes in page.items.unwrap_or_default() {
                leases.extend(self.read(&attributes)?.map(|lease| (lease.shard.clone(), lease)));
            }
            start = page.last_evaluated_key;
            if start.is_none() {
                return Ok(leases);
            }
        }
    }
}

#[async_trait]
impl LeaseTable for DynamoDbLeases {
    async fn list(&self) -> Result<Leases, CallError> {
        let leases = self.scan(false).await?;
        if leases.is_empty() { self.scan(true).await } else { Ok(leases) }
    }

    async fn find(&self, shard: &ShardId) -> Result<Option<Lease>, CallError> {
        let call = self.client.get_item().table_name(&*self.table).key(KEY, text(&**shard));
        let answer = call.consistent_read(true).send().await;
        let answer = answer.map_err(|error| self.class(failure(&error)))?;
        answer.item.map_or(Ok(None), |attributes| self.read(&attributes))
    }

    async fn change(&self, change: &Change) -> Result<Option<Lease>, ChangeError> {
        match change {
            Change::Create(lease) => self.create(lease).await,
            Change::Delete { shard } => self.delete(shard).await,
            _ => self.update(change.shard(), Update::of(change)).await,
        }
    }
}

/// One `UpdateItem`: what it sets and removes, and under which condition.
#[derive(Default)]
struct Update {
    names: Vec<&'static str>,
    values: Vec<AttributeValue>,
    set: Vec<String>,
    remove: Vec<String>,
    condition: String,
}

impl Update {
    /// The condition and the effect of [`super::changed`], in DynamoDB's words.
    fn of(change: &Change) -> Self {
        let mut update = Self::default();
        match change {
            // Whole items, which are no updates.
            Change::Create(_) | Change::Delete { .. } => {}
            Change::Take { seen, counter, by, .. } => {
                update.counts_from(*counter);
                update.held_by(seen.as_deref());
                update.set(OWNER, text(&**by));
                update.remove(CHECKPOINT_OWNER);
                update.counts_a_switch();
            }
            Change::Ask { holder, to, .. } => {
                update.owned_by(holder);
                update.set(CHECKPOINT_OWNER, text(&**holder));
                match to {
                    Some(to) => update.set(OWNER, text(&**to)),
                    None => update.remove(OWNER),
                }
            }
            Change::Withdraw { by, .. } => {
                let (owner, asked) = (update.name(OWNER), update.name(CHECKPOINT_OWNER));
                let by = update.value(text(&**by));
                update.expect(&format!("{owner} = {by} AND attribute_exists({asked})"));
                update.remove(OWNER);
            }
            Change::Keep { holder, counter, checkpoint, .. } => {
                update.counts_from(*counter);
                update.held_by(Some(holder));
                update.moves_to(checkpoint.as_ref());
            }
            Change::Leave { holder, counter, is_asked_for, checkpoint, .. } => {
                update.counts_from(*counter);
                update.moves_to(checkpoint.as_ref());
                if *is_asked_for {
                    let (name, value) = (update.name(CHECKPOINT_OWNER), update.value(text(&**holder)));
                    update.expect(&format!("{name} = {value}"));
                    update.remove(CHECKPOINT_OWNER);
                } else {
                    update.owned_by(holder);
                    update.remove(OWNER);
                }
            }
            Change::End { holder, counter, children, .. } => {
                update.counts_from(*counter);
                update.held_by(Some(holder));
                update.moves_to(Some(&Checkpoint::ShardEnd));
                match item::set(children) {
                    Some(children) => update.set(CHILDREN, children),
                    None => update.remove(CHILDREN),
                }
                update.remove(OWNER);
                update.remove(CHECKPOINT_OWNER);
            }
            Change::Set { counter, checkpoint, .. } => {
                update.counts_from(*counter);
                update.moves_to(Some(checkpoint));
                update.remove(OWNER);
                update.remove(CHECKPOINT_OWNER);
            }
        }
        update
    }

    fn name(&mut self, name: &'static str) -> String {
        let at = self.names.iter().position(|known| *known == name).unwrap_or_else(|| {
            self.names.push(name);
            self.names.len() - 1
        });
        format!("#{at}")
    }

    fn value(&mut self, value: AttributeValue) -> String {
        self.values.push(value);
        format!(":{}", self.values.len() - 1)
    }

    fn expect(&mut self, condition: &str) {
        if !self.condition.is_empty() {
            self.condition.push_str(" AND ");
        }
        self.condition.push_str(condition);
    }

    fn set(&mut self, name: &'static str, value: AttributeValue) {
        let (name, value) = (self.name(name), self.value(value));
        self.set.push(format!("{name} = {value}"));
    }

    fn remove(&mut self, name: &'static str) {
        let name = self.name(name);
        self.remove.push(name);
    }

    /// The counter is as it was, and moves.
    fn counts_from(&mut self, counter: u64) {
        let (name, value) = (self.name(COUNTER), self.value(number(counter)));
        self.expect(&format!("{name} = {value}"));
        self.set(COUNTER, number(counter + 1));
    }

    fn counts_a_switch(&mut self) {
        let (switches, one, zero) = (self.name(SWITCHES), self.value(number(1)), self.value(number(0)));
        self.set.push(format!("{switches} = if_not_exists({switches}, {zero}) + {one}"));
    }

    /// `holder` is the one who holds the lease, asked to leave or not.
    fn held_by(&mut self, holder: Option<&str>) {
        let (owner, asked) = (self.name(OWNER), self.name(CHECKPOINT_OWNER));
        let condition = match holder {
            Some(holder) => {
                let me = self.value(text(holder));
                format!("({asked} = {me} OR (attribute_not_exists({asked}) AND {owner} = {me}))")
            }
            None => format!("attribute_not_exists({asked}) AND attribute_not_exists({owner})"),
        };
        self.expect(&condition);
    }

    /// `holder` owns the lease, and nobody has asked for it.
    fn owned_by(&mut self, holder: &str) {
        let (owner, asked) = (self.name(OWNER), self.name(CHECKPOINT_OWNER));
        let me = self.value(text(holder));
        self.expect(&format!("attribute_not_exists({asked}) AND {owner} = {me}"));
    }

    fn moves_to(&mut self, checkpoint: Option<&Checkpoint>) {
        let Some(checkpoint) = checkpoint else { return };
        let (written, sub) = checkpoint.written();
        self.set(CHECKPOINT, text(written));
        self.set(SUB_SEQUENCE, number(sub));
        self.set(SWITCHES, number(0));
        for name in PENDING {
            self.remove(name);
        }
        match checkpoint {
            Checkpoint::AtTimestamp(Some(ms)) => self.set(STARTED_MS, number(*ms)),
            Checkpoint::AtTimestamp(None) => self.remove(STARTED_MS),
            _ => {}
        }
    }

    fn expression(&self) -> String {
        let clause = |word: &str, parts: &[String]| match parts {
            [] => String::new(),
            parts => format!("{word} {} ", parts.join(", ")),
        };
        clause("SET", &self.set) + &clause("REMOVE", &self.remove)
    }
}
