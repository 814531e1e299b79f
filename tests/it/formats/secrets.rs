//! What each format says must not reach the lake.

use std::{collections::BTreeSet, path::Path};

use serde_json::Value;
use tributary::{
    formats::Formats,
    jq::{Input, Step},
    receive::About,
};

use super::{part, pointers};

/// In `tests/fixtures/secrets.json` the texts with `SECRET` in them are to be found, and no others.
#[test]
fn what_is_secret_is_told_and_nothing_else() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/secrets.json");
    let text = std::fs::read_to_string(file).expect("readable");
    let events: Vec<(String, Value)> = serde_json::from_str(&text).expect("pairs of a format and an event");
    let formats = Formats::built_in();
    for mapping in formats.mappings() {
        let secrets = part(mapping, "path(secrets)");
        let of_it: Vec<_> = events.iter().filter(|(format, _)| **format == *mapping.name).collect();
        assert!(!of_it.is_empty(), "{}: no event", mapping.name);
        for (_, event) in of_it {
            let about = About::default();
            let input = Input::new(&event.to_string().into(), &about, &mapping.name);
            let told: BTreeSet<_> =
                secrets.paths(&input).expect("paths").iter().map(|path| pointer(path)).collect();
            assert_eq!(told, marked(event), "{}", mapping.name);
        }
    }
}

fn marked(event: &Value) -> BTreeSet<String> {
    let mut places = Vec::new();
    pointers(event, String::new(), &mut places);
    let is_marked = |place: &String| {
        event.pointer(place).and_then(Value::as_str).is_some_and(|text| text.contains("SECRET"))
    };
    places.into_iter().filter(is_marked).collect()
}

fn pointer(path: &[Step]) -> String {
    let step = |step: &Step| match step {
        Step::Key(key) => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
        Step::At(at) => format!("/{at}"),
    };
    path.iter().map(step).collect()
}
