//! Owns the token by which a person or a shutdown ends what is under way. Whoever works looks at it; it ends nothing itself.

use tokio_util::sync::CancellationToken;

/// Ends the work that holds a clone of it, and all work below it. Once cancelled it stays so.
#[derive(Debug, Clone, Default)]
pub struct Cancel {
    own: CancellationToken,
    above: Option<CancellationToken>,
}

impl Cancel {
    /// One that is not cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// One that ends a part of the work alone, and ends with the whole.
    #[must_use]
    pub fn below(&self) -> Self {
        Self {
            own: self.own.child_token(),
            above: Some(self.own.clone()),
        }
    }

    /// Asks everything that holds a clone to end.
    pub fn cancel(&self) {
        self.own.cancel();
    }

    /// Whether that was asked, of this work or of the whole.
    pub fn is_cancelled(&self) -> bool {
        self.own.is_cancelled()
    }

    /// Waits until that is asked.
    pub async fn cancelled(&self) {
        self.own.cancelled().await;
    }

    /// Whether that was asked of the whole that this work is a part of.
    pub fn is_whole_cancelled(&self) -> bool {
        self.above.as_ref().unwrap_or(&self.own).is_cancelled()
    }
}
