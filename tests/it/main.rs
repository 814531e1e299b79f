//! Integration tests: one binary, one module for each property that spans several stages.

mod bad_inputs;
mod checks;
mod cli;
mod limits_hold;
mod mapping;
mod real_records;
mod wire_form;
