//! Statements by the thousand. In: statements. Out: what came of each, in the same order.
//!
//! A request carries 25 of them, and each is answered for itself: a request that succeeded says nothing about its
//! statements. What failed by the moment's fault is asked again a few times.
//! <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchExecuteStatement.html>

use std::{collections::HashMap, sync::Arc, time::Duration};

use aws_sdk_dynamodb::{
    Client,
    types::{BatchStatementErrorCodeEnum as Code, BatchStatementResponse},
};
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, sleep, timeout_at},
};

use super::{facts::KEY, item::Attributes, statements::Statement};
use crate::{
    aws::{dynamodb, failure},
    failure::CallError,
    intervals::Intervals,
    tasks::joined,
};

/// Statements of one request.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchExecuteStatement.html>
const STATEMENTS_MAX: usize = 25;
/// Requests under way at once: at 30 ms each, 50,000 statements a second.
const REQUESTS_MAX: usize = 64;
/// How often in a row statements are tried of which none succeeds. The SDK tries failed requests by itself; this is
/// about statements.
const TRIES_MAX: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// What the role must be allowed.
pub(super) const ACTIONS: &str = "dynamodb:PartiQLSelect, PartiQLInsert, PartiQLUpdate and PartiQLDelete";

/// What came of a statement that was carried out or refused.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Said {
    /// Done. The item, where the statement asks for one and there is one.
    Done(Option<Attributes>),
    /// An insert met an item that is there already.
    Exists,
    /// The item is not there, or not as the statement's condition says.
    Refused,
}

type Answer = Result<Said, CallError>;

fn late() -> Answer {
    Err(CallError::transient("timeout", "a statement was not answered in time"))
}

/// Requests to one table, at most so many at once.
#[derive(Clone, Debug)]
pub(super) struct Calls {
    client: Client,
    table: Arc<str>,
    requests: Arc<Semaphore>,
}

impl Calls {
    pub(super) fn new(client: Client, table: Arc<str>) -> Self {
        Self { client, table, requests: Arc::new(Semaphore::new(REQUESTS_MAX)) }
    }

    /// Carries out all statements, which either all read or all write.
    pub(super) async fn run(&self, statements: &[Statement]) -> Vec<Answer> {
        let mut answers = vec![None; statements.len()];
        self.carry_out(statements, &mut answers).await;
        answers.into_iter().map(|answer| answer.unwrap_or_else(late)).collect()
    }

    /// The same until then: what is answered by that time keeps its answer, of the rest it is not known whether it is
    /// carried out.
    pub(super) async fn run_until(&self, until: Instant, statements: &[Statement]) -> Vec<Answer> {
        let mut answers = vec![None; statements.len()];
        drop(timeout_at(until, self.carry_out(statements, &mut answers)).await);
        answers.into_iter().map(|answer| answer.unwrap_or_else(late)).collect()
    }

    async fn carry_out(&self, statements: &[Statement], answers: &mut [Option<Answer>]) {
        let mut open: Vec<usize> = (0..statements.len()).collect();
        let mut waits = Intervals::new(FIRST_WAIT, LONGEST_WAIT);
        let mut in_vain = 0;
        while !open.is_empty() {
            let mut requests = JoinSet::new();
            for batch in batches(statements, &open) {
                let asked: Vec<_> = batch.iter().map(|at| statements[*at].clone()).collect();
                let calls = self.clone();
                requests.spawn(async move { (batch, calls.request(&asked).await) });
            }
            open.clear();
            in_vain += 1;
            while let Some((batch, said)) = joined(requests.join_next().await) {
                match said {
                    Ok(said) => {
                        for (at, answer) in batch.into_iter().zip(said) {
                            let is_open = answer.as_ref().is_err_and(CallError::is_transient);
                            open.extend(is_open.then_some(at));
                            if answer.is_ok() {
                                in_vain = 0;
                                waits.reset();
                            }
                            answers[at] = Some(answer);
                        }
                    }
                    // The SDK has tried it several times already.
                    Err(error) => batch.into_iter().for_each(|at| answers[at] = Some(Err(error.clone()))),
                }
            }
            if open.is_empty() || in_vain == TRIES_MAX {
                break;
            }
            sleep(waits.next_interval()).await;
        }
    }

    /// Carries out one statement.
    pub(super) async fn run_one(&self, statement: Statement) -> Answer {
        let mut answers = self.run(&[statement]).await;
        answers.pop().unwrap_or_else(late)
    }

    /// One answer for each statement, or none for any.
    async fn request(&self, statements: &[Statement]) -> Result<Vec<Answer>, CallError> {
        // It is never closed; and if it were, that would bound nothing.
        let _permit = self.requests.acquire().await;
        let requests: Result<Vec<_>, _> = statements.iter().map(Statement::request).collect();
        let requests =
            requests.map_err(|error| CallError::misconfigured("invalid_request", error.to_string()))?;
        let sent = self.client.batch_execute_statement().set_statements(Some(requests)).send().await;
        let answered =
            sent.map_err(|error| dynamodb::class_of(failure(&error), &self.table, KEY, ACTIONS))?;
        let answered = answered.responses.unwrap_or_default();
        if answered.len() != statements.len() {
            return Err(CallError::transient("no_reply", "not every statement was answered"));
        }
        Ok(answered.into_iter().map(|answer| self.judge(answer)).collect())
    }

    fn judge(&self, answer: BatchStatementResponse) -> Answer {
        let Some(error) = answer.error else {
            return Ok(Said::Done(answer.item));
        };
        match error.code {
            Some(Code::DuplicateItem) => Ok(Said::Exists),
            Some(Code::ConditionalCheckFailed) => Ok(Said::Refused),
            _ => Err(dynamodb::class_of(dynamodb::of_statement(error), &self.table, KEY, ACTIONS)),
        }
    }
}

/// Full requests, none of which names an item twice: the service refuses that as a whole.
fn batches(statements: &[Statement], open: &[usize]) -> Vec<Vec<usize>> {
    let mut named: HashMap<&str, usize> = HashMap::new();
    // The n-th statement about an item goes into the n-th layer.
    let mut layers: Vec<Vec<usize>> = Vec::new();
    for at in open {
        let layer = named.entry(&statements[*at].key).or_default();
        if layers.len() == *layer {
            layers.push(Vec::new());
        }
        layers[*layer].push(*at);
        *layer += 1;
    }
    layers.iter().flat_map(|layer| layer.chunks(STATEMENTS_MAX)).map(<[usize]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_full_and_name_no_item_twice() {
        let keys = (0..60).map(|at| (at % 40).to_string());
        let statements: Vec<_> = keys.map(|key| Statement::look("ledger", &key)).collect();
        let open: Vec<_> = (0..60).collect();
        let batches = batches(&statements, &open);
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [25, 15, 20]);
        for batch in &batches {
            let mut keys: Vec<_> = batch.iter().map(|at| &statements[*at].key).collect();
            keys.sort_unstable();
            keys.dedup();
            assert_eq!(keys.len(), batch.len());
        }
        let mut all = batches.concat();
        all.sort_unstable();
        assert_eq!(all, open);
    }
}
