//! The search: every state that can be reached, breadth first, so that the first path to a broken promise is a shortest
//! one. In: a story. Out: how much there was to see, and the promise that was broken, if any.

use std::collections::{HashSet, VecDeque};

use tributary::receive::kinesis::lease::ShardId;

use super::{
    actions::Action,
    requests::How,
    stories::Story,
    workers::Worker,
    world::{World, hash_of},
};

/// A story with more states than this is too long for every commit.
const STATES_MAX: usize = 400_000;

/// What a search has seen.
pub(crate) struct Explored {
    pub(crate) states: usize,
    pub(crate) steps: usize,
    pub(crate) completed: usize,
    pub(crate) is_cut: bool,
    /// A shortest way there, and what it breaks.
    pub(crate) broken: Option<(Vec<String>, String)>,
}

impl World {
    /// The world after it.
    pub(crate) fn act(&mut self, story: &Story, action: &Action) {
        match action {
            Action::Chapter => self.chapter += 1,
            Action::Expire(shard) => {
                let lost = self.unsettled(story, shard);
                self.left.losses -= u8::from(lost != 0);
                self.gone |= lost;
                self.expired.insert(shard.clone());
            }
            Action::Tick => {
                self.left.faults = self.left.faults.saturating_sub(u8::from(self.is_write_due()));
                self.left.ticks -= 1;
                self.tick();
            }
            Action::Look(at) => self.look(story, *at),
            Action::Step(at, how) => {
                self.left.faults -= u8::from(*how != How::AtOnce);
                self.step(story, *at, *how);
            }
            Action::Sync(at, of) => self.sync(story, *at, of.as_ref()),
            Action::Write(at, shard, how) => {
                self.left.faults -= u8::from(*how != How::AtOnce);
                self.write(story, *at, shard, *how);
            }
            Action::Arrive(number) => self.arrive(story, *number),
            Action::Read(at, shard) => self.read(story, *at, shard),
            Action::Settle(at, shard, number) => self.end(story, *at, shard, *number, true),
            Action::Return(at, shard, number) => self.end(story, *at, shard, *number, false),
            Action::Restart(at, is_in_order) => {
                self.left.crashes -= 1;
                self.restart(story, *at, *is_in_order);
            }
        }
        self.check_holders();
    }

    /// Two workers never read one shard at once. Whoever is about to leave reads nothing more.
    fn check_holders(&mut self) {
        let [one, other] = &self.workers;
        let reads = |worker: &Worker, shard: &ShardId| {
            let held = worker.held.get(shard);
            held.is_some_and(|held| held.tenancy.is_ours(self.now) && !held.tenancy.is_leaving())
        };
        let both = one.held.keys().find(|shard| reads(one, shard) && reads(other, shard));
        if let Some(shard) = both.cloned() {
            self.breaks(format!("both workers believe that {shard} is theirs"));
        }
    }
}

/// Every state of the story.
pub(crate) fn explore(story: &Story) -> Explored {
    let first = story.before.iter().fold(World::new(story), |mut world, action| {
        world.act(story, action);
        world
    });
    let limit = std::env::var("LEASES_STATES").map_or(STATES_MAX, |limit| limit.parse().expect("a number"));
    let mut seen = HashSet::from([hash_of(&first)]);
    let mut came: Vec<(usize, Option<Action>)> = vec![(0, None)];
    let mut open = VecDeque::from([(first, 0)]);
    let mut explored = Explored { states: 0, steps: 0, completed: 0, is_cut: false, broken: None };
    while let Some((world, number)) = open.pop_front() {
        explored.states += 1;
        if explored.states == limit {
            explored.is_cut = true;
            return explored;
        }
        let actions = world.actions(story);
        if number % story.sample == story.sample - 1 || actions.is_empty() && story.fault.is_none() {
            explored.completed += 1;
            if let Err(broken) = world.completes(story) {
                explored.broken = Some((path(&came, number), broken));
                return explored;
            }
        }
        for action in actions {
            let mut after = world.clone();
            after.act(story, &action);
            explored.steps += 1;
            if !seen.insert(hash_of(&after)) {
                continue;
            }
            came.push((number, Some(action)));
            if let Some(broken) = after.broken {
                explored.broken = Some((path(&came, came.len() - 1), broken));
                return explored;
            }
            open.push_back((after, came.len() - 1));
        }
    }
    explored
}

fn path(came: &[(usize, Option<Action>)], mut number: usize) -> Vec<String> {
    let mut path = Vec::new();
    while let (before, Some(action)) = &came[number] {
        path.push(action.to_string());
        number = *before;
    }
    path.reverse();
    path
}
