//! A whole message of any bytes: no panic, no bound exceeded, nothing without an answer.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tributary_fuzz::check;

fuzz_target!(|body: &[u8]| check(&Bytes::copy_from_slice(body)));
