//! Steps that run together under one condition: those of a shared policy group whose step has one.
//!
//! It is asked once, before the first of them: what they change cannot change whether the rest of them runs.

use ringway_contract::{Exchange, Phases, Policy, Step as Next};

use crate::chain::{Settled, Step};

/// The steps.
pub struct Group {
    steps: Box<[Step]>,
    phases: Phases,
}

impl Group {
    /// Steps that stand in one phase.
    pub fn new(steps: Vec<Step>) -> Self {
        let mut phases = Phases::default();
        for step in &steps {
            let own = step.policy.phases();
            let needs = step.condition.as_ref().map(|condition| condition.needs()).unwrap_or_default();
            phases.request |= own.request;
            phases.response |= own.response;
            phases.request_content |= own.request_content || needs.request_content;
            phases.response_content |= own.response_content || needs.response_content;
            phases.publish |= own.publish;
            phases.subscribe |= own.subscribe;
        }
        Self { steps: steps.into(), phases }
    }
}

impl Policy for Group {
    fn phases(&self) -> Phases {
        self.phases
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange) -> Next<'a> {
        Next::Wait(Box::pin(async move {
            for step in &self.steps {
                if let Some(reply) = step.request(exchange).await {
                    return Next::Reply(reply);
                }
            }
            Next::Next
        }))
    }

    fn response<'a>(&'a self, exchange: &'a mut Exchange) -> Next<'a> {
        Next::Wait(Box::pin(async move {
            for step in &self.steps {
                if let Some(reply) = step.response(exchange).await {
                    return Next::Reply(reply);
                }
            }
            Next::Next
        }))
    }

    fn message<'a>(&'a self, exchange: &'a mut Exchange) -> Next<'a> {
        Next::Wait(Box::pin(async move {
            for step in &self.steps {
                match step.message(exchange).await {
                    Settled::Next => {}
                    Settled::Reply(reply) => return Next::Reply(reply),
                    Settled::Drop => return Next::Drop,
                }
            }
            Next::Next
        }))
    }
}
