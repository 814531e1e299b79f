//! The search: every state that can be reached, breadth first, so that the first path to a broken promise is a shortest
//! one. In: a story. Out: how much there was to see, and the promise that was broken, if any.

use std::{
    collections::{HashSet, VecDeque},
    fmt,
};

use tributary::receive::kinesis::lease::ShardId;

use super::{
    workers::{Held, How, Todo, Worker},
    world::{Story, Waits, World, hash_of},
};

/// A story with more states than this is too long for every commit.
const STATES_MAX: usize = 400_000;

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
    /// Everything that can happen next.
    fn actions(&self, story: &Story) -> Vec<Action> {
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
    fn is_write_due(&self) -> bool {
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

    fn unsettled(&self, story: &Story, shard: &ShardId) -> u32 {
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

    /// Nothing goes wrong any more, and time passes: whether everything comes to its end.
    fn completes(&self, story: &Story) -> Result<(), String> {
        const SECONDS: usize = 24;
        let mut world = self.clone();
        world.left = super::stories::nothing_left(u8::try_from(SECONDS).unwrap_or(u8::MAX));
        world.requests.retain(|request| request.waits != Waits::Nobody);
        world.chapter = story.chapters - 1;
        for _ in 0..SECONDS {
            while !world.requests.is_empty() {
                world.act(story, &Action::Arrive(0));
            }
            for at in [0, 1, 0, 1] {
                world.turn(story, at);
            }
            if let Some(broken) = world.broken {
                return Err(format!("{broken} (while nothing went wrong any more)"));
            }
            if world.is_complete(story) {
                return Ok(());
            }
            world.act(story, &Action::Tick);
        }
        let leases: Vec<_> = world.table.values().map(|lease| format!("{lease:?}")).collect();
        Err(format!("stuck, with these leases:\n  {}", leases.join("\n  ")))
    }

    /// Worker `at` does all that it can do now.
    fn turn(&mut self, story: &Story, at: usize) {
        let is_of = |action: &Action| match action {
            Action::Look(of) | Action::Step(of, _) | Action::Sync(of, _) => *of == at,
            Action::Write(of, ..) | Action::Settle(of, ..) => *of == at,
            Action::Read(..) => true,
            _ => false,
        };
        for _ in 0..64 {
            let next = self.actions(story).into_iter().find(is_of);
            match next {
                Some(action) if self.broken.is_none() => self.act(story, &action),
                _ => return,
            }
        }
    }

    /// All that was promised is settled, and every shard is done or in somebody's hands.
    fn is_complete(&self, story: &Story) -> bool {
        let is_settled = story.promised(self.begun) & !(self.settled | self.gone) == 0;
        let names = [&self.workers[0].name, &self.workers[1].name];
        let mut leases = self.table.values();
        let is_done = leases.all(|lease| {
            let is_held = lease.holder().is_some_and(|holder| names.contains(&holder));
            lease.is_ended() || (is_held && !self.is_closed(story.shard(&lease.shard)))
        });
        let mut open = story.shards.iter().filter(|shard| !self.is_closed(shard));
        is_settled && is_done && open.all(|shard| self.table.contains_key(&shard.id))
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
