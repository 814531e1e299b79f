//! Protobuf's wire format. In: a message. Out: its fields, one after the other, whatever they mean.
//! <https://protobuf.dev/programming-guides/encoding/>

use super::Unreadable;

/// The fields that are not read yet.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

/// A field's number, and what it holds.
pub(super) type Field<'a> = (u64, Value<'a>);

pub(super) enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Four or eight bytes, which no field of ours has.
    Fixed,
}

impl<'a> Fields<'a> {
    pub(super) fn next(&mut self) -> Result<Option<Field<'a>>, Unreadable> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.pass(8).map(|_| Value::Fixed)?,
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.pass(usize::try_from(length).map_err(|_| Unreadable::Malformed)?)?)
            }
            5 => self.pass(4).map(|_| Value::Fixed)?,
            // Groups, which this format never had, and types that do not exist.
            _ => return Err(Unreadable::Malformed),
        };
        Ok(Some((tag >> 3, value)))
    }

    fn varint(&mut self) -> Result<u64, Unreadable> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.pass(1)? else { return Err(Unreadable::Malformed) };
            number |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Unreadable::Malformed)
    }

    fn pass(&mut self, length: usize) -> Result<&'a [u8], Unreadable> {
        let (passed, rest) = self.0.split_at_checked(length).ok_or(Unreadable::Malformed)?;
        self.0 = rest;
        Ok(passed)
    }
}
