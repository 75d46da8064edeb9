//! A weighted mixture.

use schism_checker::history::Event;
use schism_seed::{Seed, Stream};

use super::{Context, Free, Generator, Step, source};

/// Each operation comes from one of these, drawn by weight. An ended branch is never drawn again; the mixture ends
/// with its last branch.
///
/// Every slot draws from its own stream, `mix/<name>/<slot>`, and sees its branch alone, so that the mixture a slot
/// gets depends on no other slot. Two mixtures in one stack need two names.
#[must_use]
pub fn mix(seed: Seed, name: &str, branches: Vec<(u32, Box<dyn Generator>)>) -> Box<dyn Generator> {
    let (weights, branches) = branches.into_iter().unzip();
    Box::new(Mix { seed, name: name.to_owned(), weights, branches, slots: Vec::new() })
}

#[derive(Debug, Clone)]
struct Mix {
    seed: Seed,
    name: String,
    weights: Vec<u32>,
    branches: Vec<Box<dyn Generator>>,
    slots: Vec<Slot>,
}

#[derive(Debug, Clone)]
struct Slot {
    stream: Stream,
    /// Drawn, but pending when it was asked: it stays drawn, or a slow branch would get less than its weight.
    drawn: Option<usize>,
}

impl Mix {
    fn draw(&mut self, client: u32) -> Option<usize> {
        while self.slots.len() <= client as usize {
            let name = format!("mix/{}/{}", self.name, self.slots.len());
            self.slots.push(Slot { stream: self.seed.stream(&name), drawn: None });
        }
        let slot = &mut self.slots[client as usize];
        // A branch that ended since it was drawn has weight 0.
        if slot.drawn.is_none_or(|branch| self.weights[branch] == 0) {
            slot.drawn = slot.stream.weighted(&self.weights);
        }
        slot.drawn
    }
}

impl Generator for Mix {
    fn next(mut self: Box<Self>, ctx: &Context<'_>) -> Step {
        let mut soonest: Option<u64> = None;
        for client in ctx.free.iter() {
            let free = Free::only(client);
            loop {
                let Some(branch) = self.draw(client) else { return Step::Done };
                match source::take(&mut self.branches[branch]).next(&ctx.narrow(1, &free)) {
                    Step::Op { op, time_ns, next } => {
                        self.branches[branch] = next;
                        self.slots[client as usize].drawn = None;
                        return Step::Op { op, time_ns, next: self };
                    }
                    Step::Pending { until_ns, next } => {
                        self.branches[branch] = next;
                        soonest = super::earlier(soonest, until_ns);
                        break;
                    }
                    Step::Done => self.weights[branch] = 0,
                }
            }
        }
        Step::Pending { until_ns: soonest, next: self }
    }

    fn update(mut self: Box<Self>, ctx: &Context<'_>, event: &Event) -> Box<dyn Generator> {
        for branch in &mut self.branches {
            source::update_in(branch, ctx, event);
        }
        self
    }

    fn clone_box(&self) -> Box<dyn Generator> {
        Box::new(self.clone())
    }
}
