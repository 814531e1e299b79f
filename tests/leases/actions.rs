//! What can happen next. In: a state. Out: the steps that anybody can take in it.

use std::fmt;

use tributary::receive::kinesis::lease::ShardId;

use super::{
    requests::How,
    stories::Story,
    workers::{Held, Todo, Worker},
    world::World,
};

/// One step of somebody.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Chapter,
    Expire(ShardId),
    Tick,
    Look(usize),
    Step(usize, How),
    Sync(usize, Option<ShardId>),
    Write(usize, ShardId, How),
    Arrive(usize),
    Read(usize, ShardId),
    Settle(usize, ShardId, u64),
    Return(usize, ShardId, u64),
    Restart(usize, bool),
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = |at: &usize| ["a", "b"][*at];
        match self {
            Self::Chapter => f.write_str("the stream goes on"),
            Self::Expire(shard) => write!(f, "{shard} expires"),
            Self::Tick => f.write_str("a second passes"),
            Self::Look(at) => write!(f, "{} looks at the table", who(at)),
            Self::Step(at, how) => write!(f, "{} does the next thing after its look ({how:?})", who(at)),
            Self::Sync(at, None) => write!(f, "{} lists the shards", who(at)),
            Self::Sync(at, Some(shard)) => write!(f, "{} lists the shards for {shard}", who(at)),
            Self::Write(at, shard, how) => write!(f, "{} writes the lease of {shard} ({how:?})", who(at)),
            Self::Arrive(number) => write!(f, "late request {number} arrives"),
            Self::Read(at, shard) => write!(f, "{} reads {shard}", who(at)),
            Self::Settle(at, shard, number) => write!(f, "{} settles {shard}#{number}", who(at)),
            Self::Return(at, shard, number) => write!(f, "{} is given back {shard}#{number}", who(at)),
            Self::Restart(at, true) => write!(f, "{} stops and starts anew", who(at)),
            Self::Restart(at, false) => write!(f, "{} crashes and starts anew", who(at)),
        }
    }
}

impl World {
    /// Everything that can happen next.
    pub(crate) fn actions(&self, story: &Story) -> Vec<Action> {
        let mut actions: Vec<_> = self.at_once().into_iter().collect();
        if !actions.is_empty() {
            return actions;
        }
        if self.chapter + 1 < story.chapters {
            actions.push(Action::Chapter);
        }
        if self.left.ticks > 0 && (self.left.faults > 0 || !self.is_write_due()) {
            actions.push(Action::Tick);
        }
        actions.extend((0..self.requests.len()).map(Action::Arrive));
        actions.extend(self.expiring(story).map(Action::Expire));
        for (at, worker) in self.workers.iter().enumerate() {
            self.actions_of(story, at, worker, &mut actions);
        }
        actions
    }

    /// Whether somebody should write before the second is over. That it does not is a fault.
    pub(crate) fn is_write_due(&self) -> bool {
        let mut held = self.workers.iter().flat_map(|worker| worker.held.values());
        held.any(|held| self.is_due(held))
    }

    fn is_due(&self, held: &Held) -> bool {
        held.tenancy.clone().next_change(self.now, self.now_ms()).is_some()
    }

    /// What comes before everything else, because nobody else would notice if something came in between.
    fn at_once(&self) -> Option<Action> {
        self.workers.iter().enumerate().find_map(|(at, worker)| {
            let mut held = worker.held.iter().filter(|(_, held)| self.is_to_be_read(held));
            let step = matches!(worker.todo.first(), Some(Todo::HasChildren(..))) && !self.is_busy(at);
            let read = held.next().map(|(shard, _)| Action::Read(at, shard.clone()));
            read.or_else(|| step.then_some(Action::Step(at, How::AtOnce)))
        })
    }

    fn expiring<'a>(&'a self, story: &'a Story) -> impl Iterator<Item = ShardId> + 'a {
        let closed = story.shards.iter().filter(|shard| story.expires && self.is_closed(shard));
        let oldest = closed.filter(|shard| {
            !self.expired.contains(&shard.id)
                && shard.parents.iter().all(|parent| self.expired.contains(parent))
                && (self.left.losses > 0 || self.unsettled(story, &shard.id) == 0)
        });
        oldest.map(|shard| shard.id.clone())
    }

    pub(crate) fn unsettled(&self, story: &Story, shard: &ShardId) -> u32 {
        story.held_in(shard) & !(self.settled | self.gone)
    }

    fn actions_of(&self, story: &Story, at: usize, worker: &Worker, actions: &mut Vec<Action>) {
        let ways: &[How] = match self.left.faults {
            0 => &[How::AtOnce],
            _ => &[How::AtOnce, How::Slow, How::LateAnswer, How::GivenUp],
        };
        let is_busy = self.is_busy(at);
        match worker.todo.first() {
            _ if is_busy => {}
            None => {
                actions.extend(self.is_worth_a_look(at).then_some(Action::Look(at)));
                actions.extend(self.plan(story, at, None).map(|_| Action::Sync(at, None)));
            }
            Some(Todo::Take(_) | Todo::Make(_)) => {
                actions.extend(ways.iter().map(|how| Action::Step(at, *how)));
            }
            Some(_) => actions.push(Action::Step(at, How::AtOnce)),
        }
        for (shard, held) in &worker.held {
            if worker.todo.is_empty() && !is_busy && self.plan(story, at, Some(shard)).is_some() {
                actions.push(Action::Sync(at, Some(shard.clone())));
            }
            for number in held.in_flight.keys() {
                actions.push(Action::Settle(at, shard.clone(), *number));
                if held.tenancy.is_leaving() {
                    actions.push(Action::Return(at, shard.clone(), *number));
                }
            }
        }
        // A worker writes its leases one after the other; that it does not come to one of them is a fault.
        if let Some((shard, _)) = worker.held.iter().find(|(_, held)| self.is_due(held)) {
            actions.extend(ways.iter().map(|how| Action::Write(at, shard.clone(), *how)));
        }
        let is_missed = !worker.held.is_empty() || !worker.todo.is_empty() || is_busy;
        if self.left.crashes > 0 && is_missed {
            actions.push(Action::Restart(at, false));
            actions.extend((!worker.held.is_empty()).then_some(Action::Restart(at, true)));
        }
    }
}
