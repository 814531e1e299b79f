//! Tributary carries audit events from a queue into a lake, and loses none of them.
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

pub mod decode;

pub mod identify;

pub mod map;

pub mod validate;

pub mod checksum;

pub mod explain;

pub mod config;
pub mod failure;
mod json;
pub mod limits;

pub mod aws;
pub mod intervals;

pub mod cli;
pub mod command;
pub mod local;
pub mod output;
