//! Which plans callers may use here. What cannot be checked is not offered: security fails closed.

use crate::api::{Api, ApiType, PlanMode, PlanStatus};
use crate::definition::Surroundings;
use crate::node::Node;
use crate::problem::Problem;
use crate::tags;

/// Marks the plans that are not offered, with the reason. `unguarded` are those whose security does not exist here.
pub(crate) fn withhold(
    api: &mut Api,
    node: &Node,
    around: &Surroundings<'_>,
    unguarded: &[usize],
    problems: &mut Vec<Problem>,
) {
    for (at, plan) in api.plans.iter_mut().enumerate() {
        plan.withheld = match plan.status {
            PlanStatus::Staging => Some("it is in preparation".into()),
            PlanStatus::Closed => Some("it is closed".into()),
            _ if plan.mode == PlanMode::Push && api.kind != ApiType::Message => {
                Some("push plans belong to APIs of type MESSAGE".into())
            }
            // Nobody calls it: there is nothing that a caller would have to show.
            _ if plan.mode == PlanMode::Push => {
                let here = tags::part_deployed(&plan.tags, &around.settings.tags);
                (!here).then(|| "its tags are not those of this gateway".into())
            }
            _ if plan.security.is_none() => Some("it has no security: a standard plan needs one".into()),
            _ if unguarded.contains(&at) => {
                let kind = plan.security.as_ref().map_or("", |security| security.kind.as_str());
                Some(format!("its security {kind} comes with a later release"))
            }
            _ if !tags::part_deployed(&plan.tags, &around.settings.tags) => {
                Some("its tags are not those of this gateway".into())
            }
            _ => None,
        };
    }
    let items = node.field("plans").map_or(&[][..], Node::items);
    for (at, (plan, item)) in api.plans.iter().zip(items).enumerate() {
        let expected = matches!(plan.status, PlanStatus::Staging | PlanStatus::Closed);
        let said = unguarded.contains(&at) && around.catalogue.is_some();
        if let Some(reason) = plan.withheld.as_ref().filter(|_| !expected && !said && api.idle.is_none()) {
            let span = item.field("security").map_or(&item.span, |security| &security.span);
            let message = format!("the plan `{}` is not offered: {reason}", plan.name);
            problems.push(Problem::warning(span, format!("plans[{at}]"), message));
        }
    }
    if api.idle.is_none() && api.offered_plans().next().is_none() {
        let message = "no plan is offered: nobody may call this API";
        let hint = "an open API has a published plan with `security: { type: KEY_LESS }`";
        let span = node.entry("plans").map_or(&node.span, |plans| &plans.span);
        problems.push(Problem::warning(span, "plans", message).hint(hint));
    }
}
