//! The sample as the search for filters sees it: lines that differ in numbers alone are one
//! item with a weight, so that thousands of documents cost as much as hundreds.

use crate::bits::Bits;
use crate::hash::FastMap;
use crate::line::header;
use crate::words::{TEXT_MAX, pattern};

/// Lines of one group and one pattern.
#[derive(Debug, Clone)]
pub struct Item {
    /// One of its lines.
    pub line: u32,
    /// How many lines it stands for.
    pub weight: f64,
    /// Its group.
    pub group: usize,
}

/// The sample, ready to be searched.
#[derive(Debug)]
pub struct Sample<'a> {
    /// The text of every line.
    pub texts: &'a [&'a str],
    /// The items, group by group.
    pub items: Vec<Item>,
    /// Per group its items.
    pub members: Vec<Bits>,
    /// Per group the number of its lines.
    pub sizes: Vec<f64>,
    lower: Vec<String>,
}

impl<'a> Sample<'a> {
    /// Makes items of the lines of each group.
    #[must_use]
    pub fn new(texts: &'a [&'a str], groups: &[Vec<u32>]) -> Self {
        let mut items: Vec<Item> = Vec::new();
        for (group, lines) in groups.iter().enumerate() {
            let mut seen: FastMap<u64, usize> = FastMap::default();
            for line in lines {
                let text = texts[*line as usize].as_bytes();
                let key = pattern(&text[..text.len().min(TEXT_MAX)]);
                let at = *seen.entry(key).or_insert(items.len());
                if at == items.len() {
                    items.push(Item {
                        line: *line,
                        weight: 0.0,
                        group,
                    });
                }
                items[at].weight += 1.0;
            }
        }
        let mut members = vec![Bits::new(items.len()); groups.len()];
        for (index, item) in items.iter().enumerate() {
            members[item.group].set(index);
        }
        let lower = items
            .iter()
            .map(|item| texts[item.line as usize].to_ascii_lowercase())
            .collect();
        let sizes = groups.iter().map(|lines| lines.len() as f64).collect();
        Self {
            texts,
            items,
            members,
            sizes,
            lower,
        }
    }

    /// The text of an item.
    #[must_use]
    pub fn text(&self, item: usize) -> &'a str {
        self.texts[self.items[item].line as usize]
    }

    /// Items whose text has `part` within it, ASCII case ignored.
    #[must_use]
    pub fn containing(&self, part: &str) -> Bits {
        let part = part.to_ascii_lowercase();
        self.where_text(|item| self.lower[item].contains(&part))
    }

    /// Items whose text begins with `start`.
    #[must_use]
    pub fn starting(&self, start: &str) -> Bits {
        self.where_text(|item| self.text(item).starts_with(start))
    }

    /// How many lines the items of a set stand for.
    #[must_use]
    pub fn weight(&self, set: &Bits) -> f64 {
        set.iter().map(|item| self.items[item].weight).sum()
    }

    /// Where timestamps stand in the text of an item.
    #[must_use]
    pub fn stamps(&self, item: usize) -> Vec<(usize, usize)> {
        header(self.text(item)).stamps
    }

    fn where_text(&self, test: impl Fn(usize) -> bool) -> Bits {
        let mut bits = Bits::new(self.items.len());
        (0..self.items.len())
            .filter(|item| test(*item))
            .for_each(|item| bits.set(item));
        bits
    }
}
