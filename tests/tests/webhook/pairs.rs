//! Every broker at every level: each message comes, where the level says so in order.

use ringway_tests::{Backend, Gateway, Mosquitto, wait_until};

use super::{Broker, count, kafka, mqtt5, numbers, rabbitmq, solace};

const COUNT: usize = 50;

/// The numbers among the bodies: other messages only find out whether the subscription has begun.
fn came(consumer: &Backend) -> Vec<String> {
    let bodies = consumer.seen().into_iter().map(|(_, body)| String::from_utf8(body).unwrap());
    bodies.filter(|body| body.parse::<usize>().is_ok()).collect()
}

fn each_level<'a>(broker: impl Fn(&str) -> Broker<'a>) {
    for qos in ["NONE", "AUTO", "AT_MOST_ONCE", "AT_LEAST_ONCE"] {
        let (broker, consumer) = (broker(qos), Backend::ok("ok"));
        let gateway = Gateway::serving(&[broker.api(qos, &consumer.target())]);
        wait_until("the subscription to have begun", || {
            (broker.publish)(vec!["begun".into()]);
            !consumer.seen().is_empty()
        });
        (broker.publish)(numbers(0..COUNT));
        wait_until("all messages", || came(&consumer).len() >= COUNT);
        let mut came = came(&consumer);
        // At the other levels several are under way at a time.
        if !matches!(qos, "AT_MOST_ONCE" | "AT_LEAST_ONCE") {
            came.sort_by_key(|number| number.parse::<usize>().unwrap());
        }
        assert_eq!(came, numbers(0..COUNT), "{qos}");
        wait_until("all to be counted", || count(&gateway, "delivered") == consumer.seen().len());
        assert_eq!((count(&gateway, "retried"), count(&gateway, "failed")), (0, 0), "{qos}");
    }
}

#[test]
fn kafka_at_each_level() {
    each_level(|qos| kafka(&format!("pair-{qos}")));
}

#[test]
fn rabbitmq_at_each_level() {
    each_level(|qos| rabbitmq(&format!("pair-{qos}")));
}

#[test]
fn solace_at_each_level() {
    each_level(|qos| solace(&format!("pair-{qos}")));
}

#[test]
fn mqtt5_at_each_level() {
    let mosquitto = Mosquitto::start();
    each_level(|qos| mqtt5(&mosquitto, &format!("pair-{qos}")));
}
