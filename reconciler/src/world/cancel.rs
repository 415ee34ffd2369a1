//! Owns the token by which a person or a shutdown ends what is under way. Whoever works looks at it; it ends nothing itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Ends the work that holds a clone of it. Once cancelled it stays so.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// One that nobody has cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks everything that holds a clone to end.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether that was asked.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
