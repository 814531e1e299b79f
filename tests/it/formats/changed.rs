//! Golden cases with something else in one place.

use std::collections::BTreeSet;

use serde_json::json;
use tributary::{formats::Formats, jq::Input, receive::About};

use super::{event_of, part, pointers, published_cases, result};

/// Producers change their types without a word: whatever stands in one place of an event, the event is published, or
/// what it lacks is named; and what is secret can still be told.
#[test]
fn whatever_stands_in_one_place_the_mapping_has_an_answer() {
    let instead = [json!(null), json!(""), json!(7), json!(true), json!([]), json!({"a": ["b"]})];
    let formats = Formats::built_in();
    let (mut tried, mut refused) = (BTreeSet::new(), BTreeSet::new());
    for ((folder, _), case) in published_cases() {
        let mapping = formats.mappings().find(|mapping| *mapping.name == *folder).expect("a mapping");
        let (matches, secrets) = (part(mapping, "matches"), part(mapping, "path(secrets)"));
        let event = event_of(&case.input);
        let mut places = Vec::new();
        pointers(event, String::new(), &mut places);
        places.retain(|place| tried.insert((folder.clone(), place.clone())));
        for (place, instead) in
            places.iter().flat_map(|place| instead.iter().map(move |value| (place, value)))
        {
            let mut changed = event.clone();
            *changed.pointer_mut(place).expect("a place") = instead.clone();
            let about = About::default();
            let input = Input::new(&changed.to_string().into(), &about, &folder);
            assert!(secrets.paths(&input).is_ok(), "{folder}: secrets, {place} is {instead}");
            let is_of_it = case.format.is_some() || matches.is_true(&input).expect("an answer");
            if let (true, Err(rejection)) = (is_of_it, result(&changed, &folder)) {
                refused.insert(format!("{folder} {place}: {}", rejection.detail));
            }
        }
    }
    let says_nothing =
        |said: &&String| said.contains("does not fit the types") || said.contains("makes no object");
    assert_eq!(refused.iter().filter(says_nothing).collect::<Vec<_>>(), Vec::<&String>::new());
    assert!(refused.iter().any(|said| said.starts_with("snyk /created: created is absent")), "{refused:#?}");
}
