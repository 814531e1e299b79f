//! What workers ask of the table, and how that fares: everything that a request, or its answer, can suffer on its way.

use tributary::receive::kinesis::lease::{Change, Conflict, Lease, ShardId};

use super::{
    planted,
    stories::Story,
    workers::{Todo, Worker},
    world::{Request, Waits, World},
};

type Answer = Result<Option<Lease>, Conflict>;

/// How a request fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    AtOnce,
    /// It arrives later, and is answered then.
    Slow,
    /// It arrives at once, and is answered later.
    LateAnswer,
    /// Its sender knows nothing; it arrives later, or never.
    GivenUp,
}

impl World {
    /// The next of what follows from the look of worker `at`.
    pub(crate) fn step(&mut self, story: &Story, at: usize, how: How) {
        let todo = self.workers[at].edit(|worker| worker.todo.remove(0));
        match todo {
            Todo::Make(change) if how == How::GivenUp => {
                self.workers[at].edit(|worker| worker.todo.clear());
                self.send(story, self.request(at, change, Waits::Taking), how);
            }
            Todo::Take(change) | Todo::Make(change) => {
                self.send(story, self.request(at, change, Waits::Taking), how);
            }
            Todo::StillEmpty if self.table.is_empty() => {}
            Todo::StillEmpty => self.workers[at].edit(|worker| worker.todo.clear()),
            Todo::HasChildren(shard, number, children) => self.workers[at].edit(|worker| {
                if let Some(held) = worker.of(&shard, number) {
                    held.tenancy.has_children(children);
                }
            }),
        }
    }

    /// The write that the lease needs now.
    pub(crate) fn write(&mut self, story: &Story, at: usize, shard: &ShardId, how: How) {
        let (now, now_ms) = (self.now, self.now_ms());
        let next = self.workers[at].edit(|worker| {
            let held = worker.held.get_mut(shard)?;
            let change = held.tenancy.next_change(now, now_ms)?;
            if how == How::GivenUp {
                held.tenancy.not_changed(now);
            }
            Some((held.number, planted::written(story, change, held.highest.as_ref())))
        });
        if let Some((number, change)) = next {
            self.send(story, self.request(at, change, Waits::Tenancy(number)), how);
        }
    }

    fn request(&self, at: usize, change: Change, waits: Waits) -> Request {
        let name = self.workers[at].name.clone();
        Request { worker: at, name, change, begun: self.now, waits, answer: None }
    }

    fn send(&mut self, story: &Story, mut request: Request, how: How) {
        match how {
            How::AtOnce => return self.answer(story, request),
            How::Slow => {}
            How::LateAnswer => request.answer = Some(self.change(story, &request.change)),
            How::GivenUp => request.waits = Waits::Nobody,
        }
        self.requests.push(request);
    }

    /// A late request, or its answer, arrives.
    pub(crate) fn arrive(&mut self, story: &Story, number: usize) {
        let request = self.requests.remove(number);
        self.answer(story, request);
    }

    fn answer(&mut self, story: &Story, mut request: Request) {
        let answer = request.answer.take().unwrap_or_else(|| self.change(story, &request.change));
        if self.workers[request.worker].name == request.name {
            match request.waits {
                Waits::Nobody => {}
                Waits::Taking => self.taken(story, &request, answer),
                Waits::Tenancy(number) => self.written(story, &request, number, answer),
            }
        }
    }

    fn taken(&mut self, story: &Story, request: &Request, answer: Answer) {
        let is_ours = matches!(request.change, Change::Take { .. } | Change::Keep { .. });
        if let (Ok(Some(lease)), true) = (answer, is_ours) {
            let begun = planted::counted_from(story, request.begun, self.now);
            self.workers[request.worker].edit(|worker| worker.begin(lease, begun));
        }
    }

    fn written(&mut self, story: &Story, request: &Request, number: u64, answer: Answer) {
        let (shard, now) = (request.change.shard(), self.now);
        let found = self.table.get(shard).cloned();
        let begun = planted::counted_from(story, request.begun, now);
        self.workers[request.worker].edit(|worker| {
            let Some(held) = worker.of(shard, number) else { return };
            let is_kept = match (answer, &request.change) {
                (Ok(Some(lease)), Change::Keep { .. }) => {
                    held.tenancy.changed(lease, begun, now);
                    true
                }
                (Ok(_), _) => false,
                (Err(_), _) => held.tenancy.found(found, now),
            };
            if !is_kept {
                worker.held.remove(shard);
            }
        });
    }

    /// The process is gone; another begins under a name of its own. In order, its leases are left before.
    pub(crate) fn restart(&mut self, story: &Story, at: usize, is_in_order: bool) {
        let held: Vec<_> =
            self.workers[at].held.iter().map(|(shard, held)| (shard.clone(), held.number)).collect();
        for (shard, number) in held.into_iter().filter(|_| is_in_order) {
            let change = |world: &Self| {
                let held = world.workers[at].held.get(&shard)?;
                Some(planted::written(story, held.tenancy.last_change(), held.highest.as_ref()))
            };
            // A change that finds the lease otherwise is made once more, as it is found.
            for _ in 0..2 {
                if let Some(change) = change(self) {
                    self.send(story, self.request(at, change, Waits::Tenancy(number)), How::AtOnce);
                }
            }
        }
        let name = ["a", "b"][at];
        let life = self.workers[at].life + 1;
        self.workers[at].edit(|worker| *worker = Worker::new(name, life, story));
    }
}
