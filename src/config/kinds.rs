//! The kinds of value that a key may hold: how each is written, what bounds it has, and what to say when it is wrong.

mod expressions;
mod places;
mod sources;

pub use expressions::{Condition, FormatNames, HashKey, Paths};
pub use places::{BucketNames, LocalPath, Name, Password, Place, ValkeyUrls};
pub use sources::{Beginning, Consumer, QueueUrl, Stream};

use std::{net::SocketAddr, time::Duration};

use crate::{config::ChannelArn, limits};

/// Why a text is not a value of its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// What is wrong; quotes the text unless the kind is secret.
    pub what: String,
    /// What to write.
    pub cure: String,
}

impl Wrong {
    pub(crate) fn new(what: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { what: what.into(), cure: cure.into() }
    }
}

/// `[a-z][a-z0-9-]{0,31}`: safe as a metric label, and one name for each spelling in the environment.
pub(crate) fn is_label(name: &str) -> bool {
    name.len() <= 32
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// How one kind of value is read from text.
pub trait Kind {
    /// What the program gets.
    type Value;
    /// Never printed, wherever it came from.
    const SECRET: bool = false;

    /// Reads one value.
    ///
    /// # Errors
    /// When the text is no such value, or is out of bounds.
    fn parse(&self, text: &str) -> Result<Self::Value, Wrong>;

    /// The bounds in a few words, for the reference.
    fn bounds(&self) -> String;
}

/// A length of time: a whole number and `ms`, `s`, `m`, `h` or `d`.
pub struct Time {
    /// Shortest.
    pub min: Duration,
    /// Longest.
    pub max: Duration,
    /// The AWS call behind it takes whole seconds only.
    pub whole_seconds: bool,
}

impl Kind for Time {
    type Value = Duration;

    fn parse(&self, text: &str) -> Result<Duration, Wrong> {
        let Some(time) = duration(text) else {
            return Err(Wrong::new(
                format!("{text:?} is no length of time"),
                "write a whole number with its unit (ms, s, m, h, d), such as \"20s\"",
            ));
        };
        if self.whole_seconds && time.subsec_nanos() != 0 {
            return Err(Wrong::new(format!("{text:?} is no whole number of seconds"), "write whole seconds"));
        }
        within(text, &time, &self.min, &self.max, || self.bounds())?;
        Ok(time)
    }

    fn bounds(&self) -> String {
        format!("{} to {}", written(self.min), written(self.max))
    }
}

/// Reads `20s`, `250ms`, `5m`, `1h`, `2d`.
fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = number_and_unit(text)?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(milliseconds).map(Duration::from_millis)
}

/// The shortest way to write a length of time.
pub fn written(time: Duration) -> String {
    let milliseconds = time.as_millis();
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    let unit = units.into_iter().find(|(_, size)| milliseconds > 0 && milliseconds.is_multiple_of(*size));
    unit.map_or_else(|| format!("{milliseconds}ms"), |(name, size)| format!("{}{name}", milliseconds / size))
}

/// A number of bytes: a whole number, alone or with `B`, `kB`, `MB`, `GB`, `KiB`, `MiB` or `GiB`.
pub struct Bytes {
    /// Fewest.
    pub min: usize,
    /// Most.
    pub max: usize,
}

impl Kind for Bytes {
    type Value = usize;

    fn parse(&self, text: &str) -> Result<usize, Wrong> {
        let Some(bytes) = byte_count(text) else {
            return Err(Wrong::new(
                format!("{text:?} is no number of bytes"),
                "write a whole number, alone or with kB, MB, GB, KiB, MiB or GiB, such as \"16MiB\"",
            ));
        };
        within(text, &bytes, &self.min, &self.max, || self.bounds())?;
        Ok(bytes)
    }

    fn bounds(&self) -> String {
        format!("{} to {} bytes", self.min, self.max)
    }
}

/// Reads `999999`, `512kB`, `16MiB`.
pub(crate) fn byte_count(text: &str) -> Option<usize> {
    let (number, unit) = number_and_unit(text)?;
    let size = match unit {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    usize::try_from(number.checked_mul(size)?).ok()
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim_start()))
}

/// A whole number.
pub struct Count {
    /// Smallest.
    pub min: usize,
    /// Largest.
    pub max: usize,
}

impl Kind for Count {
    type Value = usize;

    fn parse(&self, text: &str) -> Result<usize, Wrong> {
        let number = text.parse().map_err(|_| {
            Wrong::new(
                format!("{text:?} is no whole number"),
                format!("write a whole number from {}", self.bounds()),
            )
        })?;
        within(text, &number, &self.min, &self.max, || self.bounds())?;
        Ok(number)
    }

    fn bounds(&self) -> String {
        format!("{} to {}", self.min, self.max)
    }
}

/// A share, more than 0 and at most 1.
pub struct Share;

impl Kind for Share {
    type Value = f64;

    fn parse(&self, text: &str) -> Result<f64, Wrong> {
        let share = text.parse::<f64>().ok().filter(|share| *share > 0.0 && *share <= 1.0);
        share.ok_or_else(|| {
            Wrong::new(
                format!("{text:?} is no share"),
                "write a number above 0 and up to 1, such as 0.5 for one half",
            )
        })
    }

    fn bounds(&self) -> String {
        "above 0, up to 1".into()
    }
}

/// One of a few words.
pub struct Choice<T: 'static>(pub &'static [(&'static str, T)]);

impl<T: Copy> Kind for Choice<T> {
    type Value = T;

    fn parse(&self, text: &str) -> Result<T, Wrong> {
        let chosen = self.0.iter().find(|(word, _)| *word == text);
        chosen.map(|(_, value)| *value).ok_or_else(|| {
            Wrong::new(format!("{text:?} is not known here"), format!("write {}", self.bounds()))
        })
    }

    fn bounds(&self) -> String {
        let words: Vec<_> = self.0.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        words.join(" or ")
    }
}

/// The ARN of a channel of CloudTrail Lake.
pub struct Channel;

impl Kind for Channel {
    type Value = ChannelArn;

    fn parse(&self, text: &str) -> Result<ChannelArn, Wrong> {
        ChannelArn::parse(text).map_err(|error| {
            Wrong::new(
                format!("{text:?} {error}"),
                "copy the ARN that `aws cloudtrail list-channels` prints, \
                 arn:aws:cloudtrail:<region>:<account>:channel/<id>",
            )
        })
    }

    fn bounds(&self) -> String {
        "the whole ARN of a channel".into()
    }
}

/// An external id, as the `externalId` of `PutAuditEvents`. Secret.
pub struct ExternalId;

impl Kind for ExternalId {
    type Value = String;
    const SECRET: bool = true;

    fn parse(&self, text: &str) -> Result<String, Wrong> {
        let cure = format!("write {}, as the channel's policy has it", self.bounds());
        if !(2..=limits::EXTERNAL_ID_CHARS_MAX).contains(&text.chars().count()) {
            return Err(Wrong::new("the external id is too short or too long", cure));
        }
        // The service model's `\w` is read as ASCII: what is stricter is accepted by either reading.
        if !text.chars().all(|c| c.is_ascii_alphanumeric() || "_+=,.@:/-".contains(c)) {
            return Err(Wrong::new("the external id has a character that AWS does not allow", cure));
        }
        Ok(text.to_owned())
    }

    fn bounds(&self) -> String {
        format!("2 to {} letters, digits or _+=,.@:/-", limits::EXTERNAL_ID_CHARS_MAX)
    }
}

/// Where to listen: an IP address and a port.
pub struct Listen;

impl Kind for Listen {
    type Value = SocketAddr;

    fn parse(&self, text: &str) -> Result<SocketAddr, Wrong> {
        text.parse().map_err(|_| {
            Wrong::new(
                format!("{text:?} is no address to listen on"),
                "write an IP address and a port, such as \"0.0.0.0:9464\" or \"[::]:9464\"",
            )
        })
    }

    fn bounds(&self) -> String {
        "an IP address and a port".into()
    }
}

/// A `tracing` filter.
pub struct LogFilter;

impl Kind for LogFilter {
    type Value = String;

    fn parse(&self, text: &str) -> Result<String, Wrong> {
        tracing_subscriber::EnvFilter::try_new(text).map_err(|_| {
            Wrong::new(
                format!("{text:?} is no log filter"),
                "write a level (error, warn, info, debug, trace) or target=level pairs, \
                 such as \"info,tributary=debug\"",
            )
        })?;
        Ok(text.to_owned())
    }

    fn bounds(&self) -> String {
        "a level (error, warn, info, debug, trace) or target=level pairs with commas".into()
    }
}

fn within<T: PartialOrd>(
    text: &str,
    value: &T,
    min: &T,
    max: &T,
    bounds: impl Fn() -> String,
) -> Result<(), Wrong> {
    if value < min {
        return Err(Wrong::new(format!("{text:?} is too small"), format!("allowed is {}", bounds())));
    }
    if value > max {
        return Err(Wrong::new(format!("{text:?} is too large"), format!("allowed is {}", bounds())));
    }
    Ok(())
}
