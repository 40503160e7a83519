//! Topics and filters (MQTT 5, section 4.7).

/// What a subscription asks for: `$share/GROUP/FILTER`, or a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The group whose members share the messages.
    pub group: Option<String>,
    /// The filter.
    pub filter: String,
}

/// Reads what a subscription asks for. `None`: it is not well-formed.
pub fn wanted(text: &str) -> Option<Wanted> {
    let (group, filter) = match text.strip_prefix("$share/") {
        Some(rest) => {
            let (group, filter) = rest.split_once('/')?;
            (Some(group), filter)
        }
        None => (None, text),
    };
    let named = group.is_none_or(|group| !group.is_empty() && !group.contains(['+', '#']));
    (named && is_filter(filter)).then(|| Wanted { group: group.map(str::to_owned), filter: filter.to_owned() })
}

/// Whether a message may be published to it.
pub fn is_topic(topic: &str) -> bool {
    !topic.is_empty() && !topic.contains(['+', '#', '\0'])
}

fn is_filter(filter: &str) -> bool {
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        let whole = matches!(level, "+" | "#") || !level.contains(['+', '#', '\0']);
        if !whole || (level == "#" && levels.peek().is_some()) {
            return false;
        }
    }
    !filter.is_empty()
}

/// Whether a filter takes messages of a topic.
pub fn matches(filter: &str, topic: &str) -> bool {
    // Section 4.7.2: wildcards do not begin with what is the broker's own.
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = topic.split('/');
    for wanted in filter.split('/') {
        match (wanted, levels.next()) {
            // It stands for its parent, too.
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (wanted, Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_take_what_the_standard_says() {
        let table = [
            ("sport/tennis/player1/#", "sport/tennis/player1", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
            ("#", "a", true),
            ("+", "a", true),
            ("+", "a/b", false),
            ("sport/tennis/+", "sport/tennis/player1", true),
            ("sport/tennis/+", "sport/tennis/player1/ranking", false),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("+/+", "/finance", true),
            ("/+", "/finance", true),
            ("+", "/finance", false),
            ("#", "$SYS/a", false),
            ("+/a", "$SYS/a", false),
            ("$SYS/#", "$SYS/a", true),
            ("a/b", "a/b/c", false),
            ("a/b/c", "a/b", false),
        ];
        for (filter, topic, wanted) in table {
            assert_eq!(matches(filter, topic), wanted, "{filter} {topic}");
        }
    }

    #[test]
    fn what_is_no_filter_is_told() {
        for text in ["", "a#", "a/#/b", "a+/b", "#/", "$share/g", "$share//a", "$share/+/a", "$share/g/", "a\0"] {
            assert_eq!(wanted(text), None, "{text:?}");
        }
        let shared = wanted("$share/g/a/+/#").unwrap();
        assert_eq!((shared.group.as_deref(), shared.filter.as_str()), (Some("g"), "a/+/#"));
        assert!(wanted("a//b").is_some() && wanted("/").is_some());
        assert!(is_topic("a/b") && !is_topic("a/+") && !is_topic(""));
    }
}
