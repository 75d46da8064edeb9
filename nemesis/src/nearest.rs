//! Which of the valid words a misspelt one was probably meant to be.

/// The valid words, nearest first, as `a, b, c`: what an error about an unknown word ends with.
pub(crate) fn listed(word: &str, valid: &[&str]) -> String {
    let mut ranked: Vec<(usize, &str)> = valid.iter().map(|&each| (distance(word, each), each)).collect();
    // Stable: words equally far keep the order in which they were declared.
    ranked.sort_by_key(|&(far, _)| far);
    ranked.into_iter().map(|(_, each)| each).collect::<Vec<_>>().join(", ")
}

/// Levenshtein's edit distance, except that a word and its abbreviation (`part`, `partition`) are close: nobody who
/// types `part` means `kill`, which the plain distance puts first.
fn distance(typed: &str, valid: &str) -> usize {
    if typed.len() >= 2 && typed != valid && valid.starts_with(typed) {
        return 1;
    }
    strsim::levenshtein(typed, valid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_comes_first() {
        let valid = ["kill", "pause", "partition"];
        assert!(listed("partitoin", &valid).starts_with("partition"));
        assert!(listed("part", &valid).starts_with("partition"));
        assert_eq!(listed("kil", &valid), "kill, pause, partition");
    }
}
