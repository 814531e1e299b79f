//! One suite for each seam, run against every implementation and every server that there is: what one of them
//! gets wrong alone is its own fault, what the adapter gets wrong shows on all.

mod dead_letter;
mod destination;
mod leases;
mod ledger;
mod partial;
mod source;
