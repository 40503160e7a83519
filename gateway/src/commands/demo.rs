//! `ringway demo`: sample APIs in front of embedded backends and brokers, in one process and without a file.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ringway_config::settings::{Admin, Listen, Logging, Server, Settings};
use ringway_config::{Catalogue, Hidden, Loaded, Loader, Problem, Snapshot};
use ringway_management::kinds::catalogue;
use ringway_management::source::Source;

use super::Outcome;
use super::run::{self, Serving};
use crate::cli::DemoOptions;
use crate::demo::{Places, SAMPLES, Surroundings};
use crate::output::{Output, Paint};
use crate::registry::registry;

/// Starts what the samples reach and the gateway, and says what to try.
pub fn demo(options: &DemoOptions, output: &Output) -> Outcome {
    // Ends after the gateway.
    let surroundings = Surroundings::start()?;
    let places = surroundings.places();
    let settings = Settings {
        servers: vec![Server { listen: Listen::Tcp(options.listen), ..Server::default() }],
        admin: Admin { listen: Listen::Tcp(options.admin), ..Admin::default() },
        // The answers of `curl` are what is to be seen, not a line for each.
        logging: Logging { level: "warn".into(), ..quiet() },
        watch: false,
        ..Settings::default()
    };
    let source =
        Samples { settings, places: places.clone(), catalogue: catalogue(&registry()), loads: AtomicU64::new(0) };
    let output = *output;
    run::serve(Box::new(source), &output, move |serving| {
        // Whoever closed standard output does not want to read it.
        let _ = output.print(invitation(serving, &places, &output));
    })
}

/// No access log: it would go to standard output, between the lines that say what to try.
fn quiet() -> Logging {
    let mut logging = Logging::default();
    logging.access.enabled = false;
    logging
}

/// What to try.
fn invitation(serving: &Serving, places: &Places, output: &Output) -> String {
    let gateway = serving.servers.first().map_or("", |(_, address)| address.as_str());
    let mut text = format!("The gateway serves {} sample APIs on {gateway}. Try:\n\n", SAMPLES.len());
    for sample in SAMPLES {
        for (shows, command) in sample.tries(gateway) {
            if !shows.is_empty() {
                text += &format!("  {}\n", output.paint(Paint::Aside, format_args!("# {shows}")));
            }
            text += &format!("  {}\n", output.paint(Paint::Name, command));
        }
        text.push('\n');
    }
    if let Some(admin) = &serving.admin {
        let shows = output.paint(Paint::Aside, "# metrics, health, shards, APIs");
        let command = output.paint(Paint::Name, format_args!("curl http://{admin}/metrics"));
        text += &format!("  {shows}\n  {command}\n\n");
    }
    text += &format!(
        "Nothing here is a real broker: Kafka is librdkafka's simulator on {}, MQTT the demo's own broker on {}, and both forget \
         everything.\n",
        places.cluster, places.broker
    );
    text + "Ctrl-C ends it.\n"
}

/// The samples as a source: a reload finds them again.
struct Samples {
    settings: Settings,
    places: Places,
    catalogue: Catalogue,
    loads: AtomicU64,
}

impl Source for Samples {
    fn load(&self) -> Loaded {
        let loader = Loader::default().catalogue(&self.catalogue);
        let mut loaded = Loaded::default();
        let mut apis = Vec::new();
        for sample in SAMPLES {
            let text = sample.definition(&self.places);
            let (read, problems) = loader.definition(sample.name, &text, &self.settings);
            apis.extend(read.into_iter().map(Arc::new));
            loaded.problems.extend(problems);
        }
        if !loaded.problems.iter().any(Problem::is_error) {
            let revision = self.loads.fetch_add(1, Ordering::Relaxed) + 1;
            let settings = self.settings.clone();
            loaded.snapshot =
                Some(Snapshot { settings, apis, dictionaries: Vec::new(), hidden: Hidden::default(), revision });
        }
        loaded
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    #[test]
    fn the_samples_are_served_without_a_warning() {
        let address = SocketAddr::from(([127, 0, 0, 1], 9));
        let places = Places { backends: [address; 2], cluster: address.to_string(), broker: address };
        let source = Samples {
            settings: Settings::default(),
            places,
            catalogue: catalogue(&registry()),
            loads: AtomicU64::new(0),
        };
        let loaded = source.load();
        assert!(loaded.problems.is_empty(), "{:#?}", loaded.problems);
        let snapshot = loaded.snapshot.unwrap();
        assert_eq!(snapshot.apis.len(), SAMPLES.len());
        assert!(snapshot.apis.iter().all(|api| api.is_served() && api.offered_plans().count() == 1));
    }
}
