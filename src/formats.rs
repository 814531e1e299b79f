//! The formats in which events come, by name. In: the program's own, and a folder of the operator's. Out: a
//! [`Format`] for stages 3 and 5.
//!
//! Two are written in Rust, because most events are in them: native CloudTrail records and the lake's own schema.
//! Every other is a [`Mapping`]: a text in jq that says what it matches, what identifies it and how it maps. The
//! operator's own are of the same kind; one with the name of a built-in mapping takes its place.

pub mod golden;
mod mapping;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
};

pub use self::mapping::{Mapping, MappingFault};
use crate::{config::is_label, event::RawEvent, jq::Input};

/// Far more than any mapping; guards against being pointed at the wrong folder.
const MAPPING_BYTES_MAX: u64 = 256 << 10;
/// As [`MAPPING_BYTES_MAX`], for the number of files.
const MAPPINGS_MAX: usize = 100;
/// A mapping's name is its file's, without this.
const EXTENSION: &str = "jq";

/// Those that the program brings, in the order in which they are asked.
const BUILT_IN: [(&str, &str); 9] = [
    ("snyk", include_str!("map/formats/snyk.jq")),
    ("falcon", include_str!("map/formats/falcon.jq")),
    ("falcon-fig", include_str!("map/formats/falcon-fig.jq")),
    ("github", include_str!("map/formats/github.jq")),
    ("okta", include_str!("map/formats/okta.jq")),
    ("kong", include_str!("map/formats/kong.jq")),
    ("gcp", include_str!("map/formats/gcp.jq")),
    ("eks", include_str!("map/formats/eks.jq")),
    ("generic", include_str!("map/formats/generic.jq")),
];

/// How an event is read.
#[derive(Clone, Debug)]
pub enum Format {
    /// Already in the integration schema.
    Lake,
    /// A native `CloudTrail` record.
    CloudTrail,
    /// By a mapping.
    Mapped(Arc<Mapping>),
}

impl Format {
    /// As written in the configuration.
    pub fn name(&self) -> &str {
        match self {
            Self::Lake => LAKE,
            Self::CloudTrail => CLOUDTRAIL,
            Self::Mapped(mapping) => &mapping.name,
        }
    }
}

const LAKE: &str = "lake";
const CLOUDTRAIL: &str = "cloudtrail";
/// Stands in the configuration for what content tells.
pub const BY_CONTENT: &str = "auto";

/// Every format that one worker knows.
#[derive(Debug)]
pub struct Formats {
    /// In the order in which they are asked: the operator's before the built-in ones.
    mappings: Vec<Arc<Mapping>>,
}

impl Formats {
    /// The program's own. Compiled once in a process.
    pub fn built_in() -> Arc<Self> {
        static FORMATS: LazyLock<Arc<Formats>> = LazyLock::new(|| {
            let mappings = BUILT_IN.iter().filter_map(|(name, text)| Mapping::built_in(name, text).ok());
            Arc::new(Formats { mappings: mappings.map(Arc::new).collect() })
        });
        FORMATS.clone()
    }

    /// The program's own, and every `NAME.jq` of a folder.
    ///
    /// # Errors
    /// Everything that is wrong, in every file.
    pub fn with_folder(folder: &Path) -> Result<Arc<Self>, Vec<MappingFault>> {
        let (mut mappings, mut faults) = (Vec::new(), Vec::new());
        for (name, path) in files(folder).map_err(|what| vec![MappingFault::of_file(folder, what)])? {
            let read = read(&path).map_err(|what| vec![MappingFault::of_file(&path, what)]);
            match read
                .and_then(|text| named(&name, &path).and_then(|()| Mapping::of_file(&name, &path, &text)))
            {
                Ok(mapping) => mappings.push(Arc::new(mapping)),
                Err(found) => faults.extend(found),
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let own: Vec<_> = mappings.iter().map(|mapping| mapping.name.clone()).collect();
        let built_in = Self::built_in();
        mappings.extend(built_in.mappings.iter().filter(|mapping| !own.contains(&mapping.name)).cloned());
        Ok(Arc::new(Self { mappings }))
    }

    /// The format of this name.
    pub fn get(&self, name: &str) -> Option<Format> {
        match name {
            LAKE => Some(Format::Lake),
            CLOUDTRAIL => Some(Format::CloudTrail),
            name => self.mappings().find(|mapping| &*mapping.name == name).cloned().map(Format::Mapped),
        }
    }

    /// Every name.
    pub fn names(&self) -> Vec<&str> {
        [LAKE, CLOUDTRAIL].into_iter().chain(self.mappings().map(|mapping| &*mapping.name)).collect()
    }

    /// Those that are mappings, in the order in which they are asked.
    pub fn mappings(&self) -> impl Iterator<Item = &Arc<Mapping>> {
        self.mappings.iter()
    }

    /// Which mapping says that the event is of its format. One that cannot say is not asked further.
    pub(crate) fn matching(&self, input: &Input<'_>) -> Option<Arc<Mapping>> {
        self.mappings().find(|mapping| mapping.matches.is_true(input).unwrap_or_default()).cloned()
    }
}

/// The names and paths of the mappings in a folder, by name.
fn files(folder: &Path) -> Result<BTreeMap<String, PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("cannot be read: {error}"))?;
    let mut files = BTreeMap::new();
    for entry in entries {
        let path = entry.map_err(|error| format!("cannot be read: {error}"))?.path();
        let is_mapping = path.extension().is_some_and(|extension| extension == EXTENSION);
        if let Some(name) = path.file_stem().filter(|_| is_mapping).and_then(|name| name.to_str()) {
            files.insert(name.to_owned(), path.clone());
        }
    }
    if files.is_empty() {
        return Err(format!("holds no file NAME.{EXTENSION}"));
    }
    if files.len() > MAPPINGS_MAX {
        return Err(format!("holds more than {MAPPINGS_MAX} files NAME.{EXTENSION}"));
    }
    Ok(files)
}

fn read(path: &Path) -> Result<String, String> {
    let bytes = fs::metadata(path).map_err(|error| format!("cannot be read: {error}"))?.len();
    if bytes > MAPPING_BYTES_MAX {
        return Err(format!("has {bytes} bytes, more than {MAPPING_BYTES_MAX}: is it a mapping?"));
    }
    fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))
}

/// A name is a metric label and stands in the configuration.
fn named(name: &str, path: &Path) -> Result<(), Vec<MappingFault>> {
    let what = match name {
        LAKE | CLOUDTRAIL => "this format is written in Rust and cannot be replaced: choose another name",
        BY_CONTENT => "this name stands for what content tells: choose another name",
        _ if !is_label(name) => {
            "a format is named by its file: a lower-case letter, then letters, digits and dashes, 32 in all"
        }
        _ => return Ok(()),
    };
    Err(vec![MappingFault::of_file(path, what.to_owned())])
}

/// What an event of a hot format is told by, gathered in one pass.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each answers one question, and all combinations occur")]
struct Signs {
    id: bool,
    uid: bool,
    version: bool,
    event_version: bool,
    name_and_source: u8,
    native: bool,
    is_s3: bool,
}

/// The hot formats, told without a parse.
pub(crate) fn hot_format_of(raw: &RawEvent) -> Option<Format> {
    let mut signs = Signs::default();
    for member in raw.members.iter().filter(|member| &*member.json != "null") {
        match &*member.key {
            "eventID" => signs.id = true,
            "UID" => signs.uid = true,
            "version" => signs.version = true,
            "eventVersion" => signs.event_version = true,
            "eventName" => signs.name_and_source += 1,
            "eventSource" => {
                signs.name_and_source += 1;
                signs.is_s3 = &*member.json == "\"aws:s3\"";
            }
            "awsRegion" | "eventType" | "requestID" => signs.native = true,
            _ => {}
        }
    }
    signs.format()
}

impl Signs {
    /// Both formats name an event and its source. A native record has `eventVersion` and an `eventID`; an event
    /// of the lake has a `UID` and a `version`, which AWS's own announcement calls `eventVersion`. Where neither
    /// id is there, what else is there decides which one is missed.
    fn format(&self) -> Option<Format> {
        if self.name_and_source < 2 || self.is_s3 {
            return None;
        }
        match (self.id, self.uid) {
            (true, false) if self.event_version => Some(Format::CloudTrail),
            (_, true) if self.version || !self.native => Some(Format::Lake),
            _ if self.event_version && (self.native || self.id) => Some(Format::CloudTrail),
            (false, false) if self.version => Some(Format::Lake),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
