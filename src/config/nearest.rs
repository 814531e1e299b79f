//! The known word that was probably meant. In: a misspelt key. Out: the nearest key, if one is near.

/// Longer words are not compared: the work grows with the square, and no key is nearly as long.
const WORD_BYTES_MAX: usize = 128;

/// The candidate with the smallest edit distance, if at most a third of the word (two at least) differs.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > WORD_BYTES_MAX {
        return None;
    }
    let most = (word.len() / 3).max(2);
    let ranked = candidates.into_iter().map(|candidate| (distance(word, candidate), candidate));
    ranked
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= most)
        .map(|(_, near)| near)
}

/// Insertions, deletions, replacements and swaps of neighbours that turn one word into the other.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=to.len()).collect()];
    for i in 1..=from.len() {
        let mut row = vec![i];
        for j in 1..=to.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(from[i - 1] != to[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_finds_its_word_and_another_word_does_not() {
        let known = ["source.queue_url", "source.visibility", "batch.linger"];
        for (word, near) in [
            ("source.queue_ulr", Some("source.queue_url")),
            ("source.visiblity", Some("source.visibility")),
            ("batch.ling", Some("batch.linger")),
            ("x", None),
            ("service.memory", None),
        ] {
            assert_eq!(nearest(word, known), near, "{word}");
        }
    }

    #[test]
    fn distances_are_those_of_the_textbook() {
        for (from, to, steps) in
            [("", "abc", 3), ("kitten", "sitting", 3), ("ab", "ba", 1), ("same", "same", 0)]
        {
            assert_eq!((distance(from, to), distance(to, from)), (steps, steps), "{from} {to}");
        }
    }
}
