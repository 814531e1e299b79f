//! A message that was packed without mistakes around any bytes. Checksums keep a fuzzer that only changes bytes from
//! getting past them, so here the input says how to pack, and what.
//!
//! The first byte is the number of layers, the next ones name them, the rest is what is inside.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tributary_fuzz::{check, pack};

/// More than decode follows, so that its bound is met.
const LAYERS_MAX: usize = 12;
const BODY_BYTES_MAX: usize = 65_536;

fuzz_target!(|input: &[u8]| {
    let Some((count, rest)) = input.split_first() else { return };
    let (layers, inside) = rest.split_at((usize::from(*count) % (LAYERS_MAX + 1)).min(rest.len()));
    let mut body = inside.to_vec();
    for layer in layers {
        let packed = pack(*layer, &body);
        // Some layers hold the body twice; what is small is soon tried.
        if packed.len() > BODY_BYTES_MAX {
            break;
        }
        body = packed;
    }
    check(&Bytes::from(body));
});
