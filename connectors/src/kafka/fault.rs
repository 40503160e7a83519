//! What the codes of the protocol and of its client library mean for a client of the gateway.

use ringway_contract::{Cause, Fault};

use super::native::{Code, code};

/// Why a message was not published. `down`: whether no broker could be reached lately.
pub fn publishing(code: Code, down: bool) -> Fault {
    match code {
        code::MESSAGE_TOO_LARGE | code::BATCH_TOO_LARGE => Fault::new(Cause::MessageTooLarge),
        code::MESSAGE_TIMED_OUT if down => Fault::new(Cause::BrokerUnreachable).detail("no broker answers"),
        code::MESSAGE_TIMED_OUT | code::TIMED_OUT | code::TIMED_OUT_QUEUE => Fault::new(Cause::BrokerTimeout),
        code::PURGED | code::PURGED_INFLIGHT => Fault::new(Cause::BrokerClosed),
        code::UNKNOWN_TOPIC_OR_PARTITION | code::UNKNOWN_TOPIC | code::INVALID_TOPIC => {
            Fault::new(Cause::PublishFailed).detail("no such topic")
        }
        code::UNKNOWN_PARTITION => Fault::new(Cause::PublishFailed).detail("no such partition"),
        _ => denied(code).unwrap_or(Fault::new(Cause::PublishFailed)),
    }
}

/// Why a subscription was not accepted, if the code says that it never will be.
pub fn subscribing(code: Code) -> Option<Fault> {
    match code {
        code::AUTO_OFFSET_RESET | code::NO_OFFSET => {
            let detail = "the group has committed no offset, and autoOffsetReset is none";
            Some(Fault::new(Cause::SubscribeFailed).detail(detail))
        }
        code::UNKNOWN_TOPIC_OR_PARTITION | code::UNKNOWN_TOPIC | code::INVALID_TOPIC => {
            Some(Fault::new(Cause::SubscribeFailed).detail("no such topic"))
        }
        _ => denied(code),
    }
}

/// What no waiting helps against.
pub fn denied(code: Code) -> Option<Fault> {
    let detail = match code {
        code::AUTHENTICATION | code::SASL_UNAUTHENTICATED | code::SASL_UNSUPPORTED => "wrong credentials",
        code::SSL => "the TLS handshake failed",
        code::TOPIC_UNAUTHORIZED => "not authorized for the topic",
        code::GROUP_UNAUTHORIZED => "not authorized for the group",
        code::CLUSTER_UNAUTHORIZED => "not authorized for the cluster",
        _ => return None,
    };
    Some(Fault::new(Cause::BrokerRefused).detail(detail))
}

/// Whether another cluster may take what this one does not: it is the brokers that fail, not the message.
pub fn is_brokers(fault: &Fault) -> bool {
    matches!(fault.cause, Cause::BrokerUnreachable | Cause::BrokerTimeout | Cause::BrokerClosed | Cause::BrokerRefused)
}
