//! Where a policy may send a request: the attribute `request.endpoint`.

use std::rc::Rc;

use ringway_contract::{Cause, Exchange, Fault};
use ringway_wire::UriOptions;

use super::group::{Group, Tried};
use super::member::Member;

/// The attribute's short name. Its value is the name of a group or an endpoint, alone or with a path: `name`, `name:`, `name:/path?query`.
const ATTRIBUTE: &str = "request.endpoint";

/// Who is asked.
#[derive(Clone, Copy)]
pub enum Target<'a> {
    /// A group, by its balancer.
    Group(&'a Group),
    /// One endpoint, and no other.
    Only(usize, &'a Rc<Member>),
}

impl<'a> Target<'a> {
    /// The next one to ask: see [`Group::choose`].
    pub fn choose(&self, tried: Tried, fresh: bool) -> Option<(usize, &'a Rc<Member>)> {
        match self {
            Self::Group(group) => group.choose(tried, fresh),
            Self::Only(index, member) => (member.is_healthy() && !fresh).then_some((*index, *member)),
        }
    }

    /// The target of an exchange: the first group, unless a policy named another. A path that it named takes the place of the request's.
    ///
    /// # Errors
    /// There is no group or endpoint of that name, or the path is none.
    pub fn of(exchange: &mut Exchange, groups: &'a [Group], uri: &UriOptions) -> Result<Self, Fault> {
        let none = || Fault::new(Cause::NoEndpoint);
        let Some(value) = exchange.attributes.get(ATTRIBUTE) else {
            return groups.first().map(Self::Group).ok_or(none());
        };
        let (name, rest) = value.split_once(':').unwrap_or((value, ""));
        let target =
            named(groups, name).ok_or_else(|| none().detail("a policy names an endpoint that is not there"))?;
        if !rest.is_empty() {
            let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
            let broken = |_| none().detail("a policy names a path that is none");
            let request = exchange.request.as_deref_mut().ok_or(Fault::new(Cause::Internal))?;
            request.head.set_path(path, uri).map_err(broken)?;
            request.head.set_query(query).map_err(broken)?;
            request.context_path_len = 0;
        }
        Ok(target)
    }
}

fn named<'a>(groups: &'a [Group], name: &str) -> Option<Target<'a>> {
    let group = groups.iter().find(|group| &*group.name == name).map(Target::Group);
    group.or_else(|| {
        groups.iter().find_map(|group| group.member(name)).map(|(index, member)| Target::Only(index, member))
    })
}
