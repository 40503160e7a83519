//! The words that the engine and its extensions share.
//!
//! An extension is an [`Entrypoint`], a [`Push`], an [`Endpoint`], a [`Broker`], a [`Guard`] or a [`Policy`]. It is described once per process by a
//! [`Kind`], built once per shard, and then serves many exchanges. Nothing here knows a runtime or the engine, so an extension
//! can be read, tested and benched by itself.

pub mod around;
pub mod attributes;
pub mod broker;
pub mod control;
pub mod dial;
pub mod dictionaries;
pub mod endpoint;
pub mod entrypoint;
pub mod exchange;
pub mod fault;
pub mod feed;
pub mod fetch;
pub mod frame;
pub mod guard;
pub mod kind;
pub mod lane;
pub mod message;
pub mod policy;
pub mod pool;
pub mod push;
pub mod recording;
pub mod reply;
pub mod scope;
pub mod session;
pub mod subscriber;
pub mod worker;

pub use around::{After, Around, Arounds, Tap, Tapped};
pub use attributes::Attributes;
pub use broker::{Broker, Publishing, Subscribe};
pub use dial::{ByteStream, Dial, Remote, RemoteTls};
pub use dictionaries::{Dictionaries, Dictionary};
pub use endpoint::{Elsewhere, Endpoint, HealthRequest, Probe};
pub use entrypoint::{Coupling, Entrypoint};
pub use exchange::{ApiInfo, Certificate, Client, Contents, Exchange, PlanInfo, Request};
pub use fault::{Cause, Fault, Retry, Side};
pub use feed::{Delivery, FEED_SLOTS, FEED_WINDOW_BYTES, Feed, FeedEnd, Level, Origin, Receipt};
pub use fetch::{FETCH_BYTES_MAX, Fetch, FetchRequest, FetchResponse, Fetching};
pub use frame::{Chunk, Frame, Upgraded};
pub use guard::{Admission, Credentials, Guard};
pub use kind::{Kind, Refusal, Registry, Services, Source};
pub use lane::{Lane, LaneEnd};
pub use message::{Message, Position};
pub use policy::{Phases, Policy, Step};
pub use pool::Pool;
pub use push::{Courier, Delivering, Growth, Parcel, Patience, Push, Terms, Verdict};
pub use recording::{Mask, Recording};
pub use reply::Reply;
pub use session::{Answer, Ending, Opening, Out, Outline, Render, Session, Tick, Wish};
pub use subscriber::{Subscriber, Subscribers};
pub use worker::{Jobs, Upcoming, Worker};
// What kinds say of a configuration.
pub use ringway_config::api::{EndpointGroup, Qos, Resource};
// Where gateways count together.
pub use ringway_config::settings::{Redis, Secret};
// Where secrets come from that are elsewhere.
pub use ringway_config::settings::{AppRole, KvEngine, Vault};
pub use ringway_config::{Messaging, Node, Problem, ResourceUse, SecretStore, SecretTable};
// Texts with expressions, in what an operator configures.
pub use ringway_expression::{EvalError, Needs, Root, Template, Value, Vocabulary, context};
// What policies read and edit; they depend on this crate alone.
pub use ringway_wire::{FieldError, Fields, Framing, Known, RequestHead, ResponseHead, Version};
