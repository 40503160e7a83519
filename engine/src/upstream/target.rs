//! Where a policy may send a request: the attribute `request.endpoint`.

use std::borrow::Cow;
use std::rc::Rc;

use ringway_contract::{Cause, Elsewhere, Exchange, Fault};
use ringway_wire::UriOptions;

use super::group::{Group, Tried};
use super::member::Member;

/// The attribute's short name. Its value is the name of a group or an endpoint, alone or with a path: `name`, `name:`, `name:/path?query`; or a
/// URL.
const ATTRIBUTE: &str = "request.endpoint";

/// Who is asked.
pub enum Target<'a> {
    /// A group, by its balancer.
    Group(&'a Group),
    /// One endpoint, and no other.
    Only(usize, &'a Rc<Member>),
    /// A place that is none of the API's.
    Elsewhere(Rc<Member>),
}

impl<'a> Target<'a> {
    /// The next one to ask: see [`Group::choose`].
    pub fn choose(&self, tried: Tried, fresh: bool) -> Option<(usize, &Rc<Member>)> {
        match self {
            Self::Group(group) => group.choose(tried, fresh),
            Self::Only(index, member) => (member.is_healthy() && !fresh).then_some((*index, *member)),
            Self::Elsewhere(member) => (!fresh).then_some((0, member)),
        }
    }

    /// The target of an exchange: the first group, unless a policy named another. A path that it named takes the place of the request's.
    ///
    /// # Errors
    /// There is no group or endpoint of that name, or the path or the URL is none.
    pub fn of(exchange: &mut Exchange, groups: &'a [Group], uri: &UriOptions) -> Result<Self, Fault> {
        let none = || Fault::new(Cause::NoEndpoint);
        let Some(value) = exchange.attributes.get(ATTRIBUTE) else {
            return groups.first().map(Self::Group).ok_or(none());
        };
        let (target, rest) = if Elsewhere::is_url(value) {
            let (place, rest) =
                Elsewhere::of(value).ok_or_else(|| none().detail("a policy names a URL that is none"))?;
            let named = exchange.named_origin.as_deref() == Some(&place);
            let member = groups.first().and_then(|group| group.elsewhere(&place, !named));
            let member = member.ok_or_else(|| none().detail("the endpoints of this API lead to no URL"))?;
            // A URL without a path means the root (RFC 9110 section 4.2.3).
            let rest = if rest.starts_with('/') { Cow::Borrowed(rest) } else { Cow::Owned(format!("/{rest}")) };
            (Self::Elsewhere(member), rest)
        } else {
            let (name, rest) = value.split_once(':').unwrap_or((value, ""));
            let target =
                named(groups, name).ok_or_else(|| none().detail("a policy names an endpoint that is not there"))?;
            (target, Cow::Borrowed(rest))
        };
        if !rest.is_empty() {
            let (path, query) = rest.split_once('?').map_or((&*rest, None), |(path, query)| (path, Some(query)));
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
