//! The real binary on a real stream: workers that come, go and die, shards that split and merge, and everything that a
//! stream needs gone for a while. The server of the stream is ferrokinesis, that of the leases dynoxide.

mod fleet;
mod outage;
mod streaming;
mod tables_gone;
mod takeover;
mod whole_way;
