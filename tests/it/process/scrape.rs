//! `/metrics` as numbers, and the conservation law over them.

use std::collections::{BTreeMap, BTreeSet};

/// One look at `/metrics`: each series as written, and its value.
pub(crate) struct Scrape(BTreeMap<String, f64>);

const LAW: &[&str] = &["published", "duplicate", "filtered", "dead_lettered", "returned"];

impl Scrape {
    pub(crate) fn new(text: &str) -> Self {
        let samples = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(|line| {
            let (series, value) = line.rsplit_once(' ').expect("a series and its value");
            (series.to_owned(), value.parse().expect("a number"))
        });
        Self(samples.collect())
    }

    /// The sum of all series of one name whose labels contain `label`.
    pub(crate) fn sum_of(&self, name: &str, label: &str) -> u64 {
        let of_name = self.0.iter().filter(|(series, _)| {
            series.split('{').next() == Some(name) && (label.is_empty() || series.contains(label))
        });
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a counter is a whole number"
        )]
        of_name.map(|(_, value)| *value as u64).sum()
    }

    /// The sum of all series of one name.
    pub(crate) fn sum(&self, name: &str) -> u64 {
        self.sum_of(name, "")
    }

    /// A term of the law over all destinations, such as `published`.
    pub(crate) fn term(&self, term: &str) -> u64 {
        self.sum(&format!("tributary_{term}_total"))
    }

    pub(crate) fn in_flight(&self) -> u64 {
        self.sum("tributary_in_flight")
    }

    /// Every destination must account for each delivery, at every look.
    pub(crate) fn assert_balanced(&self) {
        let destinations: BTreeSet<_> =
            self.0.keys().filter_map(|series| series.strip_prefix("tributary_received_total")).collect();
        assert!(destinations.len() >= 2, "the lake and `none` have their own terms");
        for destination in destinations {
            let of = |term: &str| self.0[&format!("tributary_{term}_total{destination}")];
            let ended: f64 = LAW.iter().map(|term| of(term)).sum();
            let in_flight = self.0[&format!("tributary_in_flight{destination}")];
            let difference = of("received") - ended - in_flight;
            assert!(difference == 0.0, "the law is off by {difference} for {destination}");
        }
    }

    /// The law, with nothing under way.
    pub(crate) fn assert_at_rest(&self) {
        self.assert_balanced();
        assert_eq!(self.in_flight(), 0);
    }
}

#[test]
#[should_panic(expected = "the law is off by 1")]
fn a_delivery_that_is_unaccounted_for_is_found() {
    let terms = LAW.iter().chain(&["received"]).flat_map(|term| {
        ["lake", "none"].map(|name| {
            format!("tributary_{term}_total{{destination=\"{name}\"}} {}\n", u8::from(*term == "received"))
        })
    });
    let in_flight =
        "tributary_in_flight{destination=\"lake\"} 0\ntributary_in_flight{destination=\"none\"} 1\n";
    Scrape::new(&(terms.collect::<String>() + in_flight)).assert_balanced();
}
