//! The sample as the search for filters sees it: lines that differ in numbers alone are one
//! item with a weight, so that thousands of documents cost as much as hundreds.

use crate::bits::Bits;
use crate::hash::{FastMap, hash_of};
use crate::lines::Lines;
use crate::watch::{Stopped, Watch};
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

/// Of a longer text only so much is searched, in bytes. What is found is measured on whole
/// documents later.
const SEARCHED_MAX: usize = 2_048;
/// Lines between two looks at the watch.
const BEAT_LINES: usize = 128;

/// The sample, ready to be searched.
#[derive(Debug)]
pub struct Sample<'a> {
    /// The lines.
    pub all: Lines<'a>,
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
    ///
    /// # Errors
    /// [`Stopped`] when the watch says so.
    pub fn new(
        all: Lines<'a>,
        groups: &[Vec<u32>],
        watch: &mut dyn Watch,
    ) -> Result<Self, Stopped> {
        let mut items: Vec<Item> = Vec::new();
        for (group, lines) in groups.iter().enumerate() {
            let mut seen: FastMap<u64, usize> = FastMap::default();
            for (index, line) in lines.iter().enumerate() {
                if index % BEAT_LINES == 0 {
                    watch.step(0)?;
                }
                let text = all.texts[*line as usize].as_bytes();
                let mut key = pattern(&text[..text.len().min(TEXT_MAX)]);
                for label in all.labels {
                    let value = label.get(*line as usize).copied().flatten();
                    key = key.rotate_left(7) ^ hash_of(value.unwrap_or("").as_bytes());
                }
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
            .map(|item| head(all.texts[item.line as usize]).to_ascii_lowercase())
            .collect();
        let sizes = groups.iter().map(|lines| lines.len() as f64).collect();
        Ok(Self {
            all,
            items,
            members,
            sizes,
            lower,
        })
    }

    /// The text of an item.
    #[must_use]
    pub fn text(&self, item: usize) -> &'a str {
        head(self.all.texts[self.items[item].line as usize])
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

    /// Items whose documents have `value` for a label.
    #[must_use]
    pub fn labeled(&self, label: usize, value: &str) -> Bits {
        self.where_text(|item| self.label(label, item) == Some(value))
    }

    /// The value that an item's documents have for a label.
    #[must_use]
    pub fn label(&self, label: usize, item: usize) -> Option<&'a str> {
        let values = self.all.labels.get(label)?;
        values
            .get(self.items[item].line as usize)
            .copied()
            .flatten()
    }

    /// How many lines the items of a set stand for.
    #[must_use]
    pub fn weight(&self, set: &Bits) -> f64 {
        set.iter().map(|item| self.items[item].weight).sum()
    }

    /// Where timestamps stand in the text of an item.
    #[must_use]
    pub fn stamps(&self, item: usize) -> &'a [(usize, usize)] {
        &self.all.headers[self.items[item].line as usize].stamps
    }

    fn where_text(&self, test: impl Fn(usize) -> bool) -> Bits {
        let mut bits = Bits::new(self.items.len());
        (0..self.items.len())
            .filter(|item| test(*item))
            .for_each(|item| bits.set(item));
        bits
    }
}

fn head(text: &str) -> &str {
    let mut end = text.len().min(SEARCHED_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
