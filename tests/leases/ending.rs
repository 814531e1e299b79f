//! Whether everything comes to its end once nothing goes wrong any more. In: any state. Out: that it does, or who is
//! stuck.

use super::{
    actions::Action,
    stories::{Story, nothing_left},
    world::{Waits, World},
};

impl World {
    /// Nothing goes wrong any more, and time passes: whether everything comes to its end.
    pub(crate) fn completes(&self, story: &Story) -> Result<(), String> {
        const SECONDS: usize = 24;
        let mut world = self.clone();
        world.left = nothing_left(u8::try_from(SECONDS).unwrap_or(u8::MAX));
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
            Action::Look(of)
            | Action::Step(of, _)
            | Action::Sync(of, _)
            | Action::Write(of, ..)
            | Action::Settle(of, ..) => *of == at,
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
