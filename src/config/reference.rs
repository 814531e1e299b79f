//! Writes the reference file from the table of keys: a commented TOML file that is valid as it stands, once the
//! keys without a default are filled in, and a queue or a stream to receive from.

use crate::config::keys::{ALL, Absent, AnyKey, TABLES, environment_name, named};

/// Columns of a comment line.
const WIDTH: usize = 110;
/// The destination that the reference shows.
const EXAMPLE_NAME: &str = "lake";

const HEAD: &str = "\
Every key of Tributary, with its default, its bounds, its effect and who should change it. \
This file is generated: `tributary check --print-reference`.

Keys without a default are empty here and must be filled in, and one of source.queue_url and stream.arn. All others \
show their default behind a `#`: take the `#` away to change it. Each key can be given by the environment variable named beside it, which wins over \
the file; a variable set to nothing counts as not set. A destination named `my-lake` has \
TRIBUTARY_DESTINATIONS_MY_LAKE_ where the example has TRIBUTARY_DESTINATIONS_LAKE_. Unknown keys and variables are errors.

Credentials, Region and endpoints are none of these keys: they are found in the AWS SDK's own ways (AWS_PROFILE, \
AWS_REGION, task roles, AWS_ENDPOINT_URL_SQS, AWS_ENDPOINT_URL_KINESIS, AWS_ENDPOINT_URL_CLOUDTRAIL_DATA).

Times are a whole number with ms, s, m, h or d. Bytes are a whole number, alone or with kB, MB, GB, KiB, MiB or GiB.";

/// The whole file.
pub fn reference() -> String {
    let paragraphs: Vec<String> = HEAD.split("\n\n").map(comment).collect();
    let mut parts = vec![paragraphs.join("\n#\n")];
    for (table, doc) in TABLES {
        parts.push(format!("{}\n[{}]", comment(doc), named(table, EXAMPLE_NAME)));
        let in_table =
            |key: &&&dyn AnyKey| key.path().rsplit_once('.').is_some_and(|(known, _)| known == *table);
        parts.extend(ALL.iter().filter(in_table).map(|key| entry(*key)));
    }
    parts.join("\n\n") + "\n"
}

fn entry(key: &dyn AnyKey) -> String {
    let name = key.path().rsplit_once('.').map_or(key.path(), |(_, name)| name);
    let variable = environment_name(&named(key.path(), EXAMPLE_NAME));
    let line = match key.absent() {
        Absent::Required { example } => format!("# Required, such as \"{example}\"\n{name} = \"\""),
        Absent::OneOf { other, example } => {
            format!("# Required where {other} is not set.\n#{name} = \"{example}\"")
        }
        Absent::Nothing { example } => format!("# Not set by default.\n#{name} = \"{example}\""),
        Absent::Default(value) if key.is_bare(value) => format!("#{name} = {value}"),
        Absent::Default(value) => format!("#{name} = \"{value}\""),
    };
    let (doc, bounds) = (comment(key.doc()), comment(&format!("Allowed: {}.", key.bounds())));
    format!("{doc}\n{bounds}\n# Environment: {variable}\n{line}")
}

/// A paragraph as comment lines.
fn comment(paragraph: &str) -> String {
    let mut lines = vec![String::from("#")];
    for word in paragraph.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("# {word}")),
        }
    }
    lines.join("\n")
}
