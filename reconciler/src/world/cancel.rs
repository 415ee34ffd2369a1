//! Owns the token by which a person or a shutdown ends what is under way. Whoever works looks at it; it ends nothing itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Ends the work that holds a clone of it, and all work below it. Once cancelled it stays so.
#[derive(Debug, Clone, Default)]
pub struct Cancel {
    own: Arc<AtomicBool>,
    above: Option<Arc<Self>>,
}

impl Cancel {
    /// One that nobody has cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// One that ends a part of the work alone, and ends with the whole.
    #[must_use]
    pub fn below(&self) -> Self {
        Self {
            own: Arc::default(),
            above: Some(Arc::new(self.clone())),
        }
    }

    /// Asks everything that holds a clone to end.
    pub fn cancel(&self) {
        self.own.store(true, Ordering::SeqCst);
    }

    /// Whether that was asked, of this work or of the whole.
    pub fn is_cancelled(&self) -> bool {
        self.own.load(Ordering::SeqCst) || self.is_whole_cancelled()
    }

    /// Whether that was asked of the whole that this work is a part of.
    pub fn is_whole_cancelled(&self) -> bool {
        match &self.above {
            Some(above) => above.is_cancelled(),
            None => self.own.load(Ordering::SeqCst),
        }
    }
}
