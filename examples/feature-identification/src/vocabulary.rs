//! Which groups say a word, and for whom a line speaks by its words. A word counts for a group by
//! how much more often it says it than the others; identifiers (`QuorumCnxManager`,
//! `shop_orders`) count more than plain words.

use crate::hash::FastMap;
use crate::lines::Lines;
use crate::watch::{Stopped, Watch};
use crate::words::{TEXT_MAX, is_filler, values, word_id, words};

/// An identifier weighs as much as this many plain words.
const IDENTIFIER_WEIGHT: f64 = 4.0;
/// A word that a group says in this share of its lines is half as telling as one that it always
/// says.
const RARE_SHARE: f64 = 0.02;
/// Lines between two looks at the watch.
const BEAT_LINES: usize = 64;

/// For each word the groups that say it, each with the share of its lines that do.
#[derive(Debug, Default)]
pub struct Vocabulary {
    speakers: FastMap<u64, Vec<(u32, f64)>>,
    groups: usize,
}

impl Vocabulary {
    /// Reads the lines of all groups.
    ///
    /// # Errors
    /// [`Stopped`] when the watch says so.
    pub fn of(all: Lines<'_>, groups: &[Vec<u32>], watch: &mut dyn Watch) -> Result<Self, Stopped> {
        let mut speakers: FastMap<u64, Vec<(u32, f64)>> = FastMap::default();
        for (group, lines) in (0u32..).zip(groups) {
            let weight = 1.0 / lines.len() as f64;
            for (index, line) in lines.iter().enumerate() {
                if index % BEAT_LINES == 0 {
                    watch.step(0)?;
                }
                let mut seen: Vec<u64> = tokens(all.bytes(*line)).map(|(word, _)| word).collect();
                seen.sort_unstable();
                seen.dedup();
                for word in seen {
                    let who = speakers.entry(word).or_default();
                    match who.last_mut() {
                        Some((last, share)) if *last == group => *share += weight,
                        _ => who.push((group, weight)),
                    }
                }
            }
        }
        Ok(Self {
            speakers,
            groups: groups.len(),
        })
    }

    /// How much a line speaks for each group; by its identifiers alone or by plain words as well.
    #[must_use]
    pub fn scores(&self, text: &[u8], plain: bool) -> Vec<f64> {
        let mut scores = vec![0.0; self.groups];
        for (word, identifier) in tokens(text).filter(|(_, identifier)| plain || *identifier) {
            let Some(who) = self.speakers.get(&word) else {
                continue;
            };
            let sum: f64 = who.iter().map(|(_, share)| share).sum::<f64>() + RARE_SHARE;
            let weight = if identifier { IDENTIFIER_WEIGHT } else { 1.0 };
            for (group, share) in who {
                scores[*group as usize] += weight * share / sum;
            }
        }
        scores
    }

    /// The groups that share an identifier of a line with `group` and with nobody else.
    #[must_use]
    pub fn only_others(&self, text: &[u8], group: usize) -> Vec<usize> {
        let mut found = Vec::new();
        for (word, _) in tokens(text).filter(|(_, identifier)| *identifier) {
            let who = self.speakers.get(&word).map_or(&[][..], Vec::as_slice);
            let mut others = who.iter().filter(|(other, _)| *other as usize != group);
            if let (Some((other, _)), None) = (others.next(), others.next())
                && !found.contains(&(*other as usize))
            {
                found.push(*other as usize);
            }
        }
        found
    }
}

/// Words and values of a text, and whether each is an identifier.
fn tokens(text: &[u8]) -> impl Iterator<Item = (u64, bool)> {
    let text = &text[..text.len().min(TEXT_MAX)];
    let plain = words(text)
        .filter(|word| !is_filler(word))
        .map(|word| (word_id(word), is_identifier(word)));
    plain.chain(values(text).map(|value| (word_id(value), true)))
}

/// Not a word of a language: capitals or signs inside.
fn is_identifier(word: &[u8]) -> bool {
    let inner = &word[1..];
    inner.iter().any(|byte| matches!(byte, b'_' | b'$'))
        || (inner.iter().any(u8::is_ascii_uppercase) && word.iter().any(u8::is_ascii_lowercase))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::header;
    use crate::watch::Unwatched;

    #[test]
    fn lines_speak_for_those_who_say_their_words() {
        let texts = [
            "CartService opened",
            "CartService closed",
            "disk opened",
            "disk full",
        ];
        let headers: Vec<_> = texts.iter().map(|text| header(text)).collect();
        let all = Lines {
            headers: &headers,
            texts: &texts,
            labels: &[],
        };
        let groups = [vec![0, 1], vec![2, 3]];
        let vocabulary = Vocabulary::of(all, &groups, &mut Unwatched).unwrap();
        let scores = vocabulary.scores(b"at CartService.run opened", true);
        assert!(scores[0] > 4.0 && scores[1] < 1.0, "{scores:?}");
        assert_eq!(vocabulary.scores(b"disk opened", false), [0.0, 0.0]);
        assert_eq!(vocabulary.only_others(b"CartService", 1), [0]);
        assert!(vocabulary.only_others(b"CartService", 0).is_empty());
    }
}
