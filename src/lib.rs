//! Tributary carries audit events from a queue or a stream into a lake, and loses none of them.
//!
//! Modules are listed in the order in which an event meets them.
//!
//! ```text
//! receive -> decode -> identify -> dedupe -> map -> validate -> checksum -> batch -> publish
//!    ^                               |        |        |                                |
//!    |                               | dup    +--------+----> dead_letter <-- refused --+
//!    +------------ settle <----------+-----------------------------+-----------------------
//! ```

pub mod event;

pub mod receive;

pub mod decode;

pub mod identify;

pub mod route;

pub mod dedupe;

pub mod redact;

pub mod map;

pub mod validate;

pub mod checksum;

pub mod batch;

pub mod publish;

pub mod dead_letter;

pub mod settle;

pub mod publish_log;

pub mod pipeline;

pub mod explain;

pub mod reconcile;

pub mod aggregate;
pub mod aws;
pub mod breaker;
pub mod clock;
pub mod config;
pub mod failure;
pub mod flow;
pub mod formats;
pub mod gate;
pub mod health;
pub mod intervals;
pub mod jq;
mod json;
pub mod limits;
pub mod log;
pub mod metrics;
pub mod room;
pub mod service;
mod tasks;

pub mod local;

pub mod cli;
pub mod command;
pub mod output;
