//! Integration tests: one binary, one module for each property that spans several stages.

mod checks;
mod real_records;
