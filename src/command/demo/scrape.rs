//! Reads numbers off the text of `/metrics`, as a dashboard would.

use std::collections::BTreeMap;

/// The samples of one scrape, or of several one after the other, whose values are added: the name with its labels as
/// written, and the value.
pub(super) struct Scrape<'a> {
    samples: BTreeMap<&'a str, f64>,
}

impl<'a> Scrape<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let mut samples = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let sample = line.rsplit_once(' ').map(|(series, value)| (series, value.parse::<f64>()));
            if let Some((series, Ok(value))) = sample {
                *samples.entry(series).or_default() += value;
            }
        }
        Self { samples }
    }

    /// Values of a counter by the value of one label; zeros are left out.
    pub(super) fn by_label(&self, name: &str, label: &str) -> BTreeMap<String, u64> {
        let of_name = self
            .samples
            .iter()
            .filter(|(series, value)| series.split('{').next() == Some(name) && **value > 0.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a counter is a whole number"
        )]
        let values =
            of_name.filter_map(|(series, value)| Some((label_of(series, label)?.to_owned(), *value as u64)));
        values.collect()
    }

    /// A quantile of a histogram, by linear interpolation within its bucket, as Prometheus does it.
    pub(super) fn quantile(&self, name: &str, share: f64) -> Option<f64> {
        let bucket = format!("{name}_bucket");
        let of_name = self.samples.iter().filter(|(series, _)| series.split('{').next() == Some(&*bucket));
        let mut buckets: Vec<(f64, f64)> = of_name
            .filter_map(|(series, count)| Some((label_of(series, "le")?.parse().ok()?, *count)))
            .collect();
        buckets.sort_by(|left, right| left.0.total_cmp(&right.0));
        let rank = share * buckets.last()?.1;
        let at = buckets.iter().position(|(_, count)| *count >= rank && *count > 0.0)?;
        let (lower, below) = at.checked_sub(1).map_or((0.0, 0.0), |before| buckets[before]);
        let (upper, count) = buckets[at];
        if upper.is_infinite() {
            None
        } else {
            Some(lower + (upper - lower) * (rank - below) / (count - below))
        }
    }
}

fn label_of<'a>(series: &'a str, label: &str) -> Option<&'a str> {
    let from = series.find(&format!("{label}=\""))? + label.len() + 2;
    series[from..].split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP x of x\nx{reason=\"a\"} 2\nx{reason=\"b\"} 0\nxy{reason=\"a\"} 7\n\
        t_bucket{d=\"l\",le=\"1\"} 10\nt_bucket{d=\"l\",le=\"2\"} 30\nt_bucket{d=\"l\",le=\"+Inf\"} 30\n";

    #[test]
    fn a_counter_is_read_by_its_label() {
        assert_eq!(Scrape::new(TEXT).by_label("x", "reason"), BTreeMap::from([("a".to_owned(), 2)]));
    }

    #[test]
    fn several_scrapes_are_added() {
        let twice = TEXT.repeat(2);
        assert_eq!(Scrape::new(&twice).by_label("x", "reason"), BTreeMap::from([("a".to_owned(), 4)]));
        assert_eq!(Scrape::new(&twice).quantile("t", 0.5), Some(1.25));
    }

    #[test]
    fn a_quantile_lies_within_its_bucket() {
        assert_eq!(Scrape::new(TEXT).quantile("t", 0.5), Some(1.25));
        assert_eq!(Scrape::new(TEXT).quantile("unknown", 0.5), None);
    }
}
