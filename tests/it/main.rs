//! Everything that is tested over the wire, in one binary: the program's parts against real clients and servers.

mod local_lake;
mod local_queue;
mod support;
