//! Trouble that lasts: said once, and not at every new try, since thousands of runs may have it at
//! the same time, and the log may be on the very disk that is full.

/// One thing that is tried again and again.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    is_said: bool,
}

impl Trouble {
    /// It went wrong. Whether that is to be said.
    pub(crate) fn is_new(&mut self) -> bool {
        !std::mem::replace(&mut self.is_said, true)
    }

    /// It went well: what comes is new.
    pub(crate) fn is_over(&mut self) {
        self.is_said = false;
    }
}
