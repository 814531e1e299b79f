//! An event of any content: its id is one that the lake takes, the same at each delivery and in any order of members,
//! in every format; and mapping it neither panics nor hangs.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tributary::decode::{Found, decode};
use tributary_fuzz::ids::check;

fuzz_target!(|body: &[u8]| {
    for part in decode(Bytes::copy_from_slice(body)).into_iter().take(4) {
        if let Found::Event(raw) = part.found {
            check(&raw);
        }
    }
});
