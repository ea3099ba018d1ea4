//! Answers that a file of fixtures has, and what was asked without one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Answers in the order of their file. Each answers once; of those that fit, the last one answers
/// whatever else comes.
#[derive(Debug)]
pub(crate) struct Answers<T> {
    entries: Vec<T>,
    used: Mutex<Vec<bool>>,
}

/// What was asked and had no answer, in words that say what to add. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unanswered(Arc<Mutex<Vec<String>>>);

impl<T> Answers<T> {
    pub(crate) fn new(entries: Vec<T>) -> Self {
        let used = Mutex::new(vec![false; entries.len()]);
        Self { entries, used }
    }

    /// The next answer among those that fit.
    pub(crate) fn next(&self, fits: impl Fn(&T) -> bool) -> Option<&T> {
        let mut used = lock(&self.used);
        let fitting = || (0..self.entries.len()).filter(|index| fits(&self.entries[*index]));
        let index = fitting()
            .find(|index| !used[*index])
            .or_else(|| fitting().last())?;
        used[index] = true;
        Some(&self.entries[index])
    }
}

impl Unanswered {
    /// Keeps it for the end of the test, and hands it back for the guest.
    pub(crate) fn tell(&self, what: String) -> String {
        let mut all = lock(&self.0);
        if !all.contains(&what) {
            all.push(what.clone());
        }
        what
    }

    pub(crate) fn all(&self) -> Vec<String> {
        lock(&self.0).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answers_once_and_the_last_that_fits_again() {
        let answers = Answers::new(vec!["a1", "b1", "a2"]);
        let next = |letter: char| answers.next(|entry| entry.starts_with(letter)).copied();
        assert_eq!(next('a'), Some("a1"));
        assert_eq!(next('a'), Some("a2"));
        assert_eq!(next('a'), Some("a2"));
        assert_eq!((next('b'), next('b')), (Some("b1"), Some("b1")));
        assert_eq!(next('c'), None);
    }

    #[test]
    fn what_had_no_answer_is_told_once() {
        let unanswered = Unanswered::default();
        for what in ["x", "y", "x"] {
            unanswered.tell(what.to_owned());
        }
        assert_eq!(unanswered.all(), ["x", "y"]);
    }
}
