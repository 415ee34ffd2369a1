//! Owns when the receipts are copied to the locations: soon after something was recorded, and once more at the end. A location that
//! hangs delays nothing else. The interesting function is [`keep`].

use std::sync::Arc;
use std::time::Duration;

use crate::control::copies;
use crate::failure::Failure;
use crate::world::cancel::Cancel;

use super::{Service, blocking};

/// What is recorded within this time is copied together.
const GATHERED: Duration = Duration::from_secs(1);

/// Whoever stops the daemon waits for this copy, and whoever lost the machine would miss it.
const LAST: Duration = Duration::from_secs(2);

/// Copies the receipts until the daemon is asked to end.
pub(super) async fn keep(service: Arc<Service>) -> Result<(), Failure> {
    loop {
        tokio::select! {
            biased;
            () = service.asked_to_end() => return Ok(()),
            () = service.recorded.notified() => {}
            // What could not be copied before is tried again.
            () = tokio::time::sleep(service.look_interval()) => {}
        }
        tokio::time::sleep(GATHERED).await;
        let daemon = service.daemon.clone();
        for failure in blocking(&service.daemon, move || Ok(copies::copy_receipts(&daemon))).await?
        {
            tracing::warn!(event = "receipts_not_copied", code = %failure.code, "{}", failure.message);
        }
    }
}

/// Copies what was recorded last, although everything else ends. A location that hangs is left behind.
pub(super) async fn last(service: &Service) {
    let daemon = service.daemon.part(Cancel::new(), None);
    let copied = blocking(&service.daemon, move || {
        // The copies belong to the daemon that holds the store now.
        daemon.store.holds()?;
        Ok(copies::copy_receipts(&daemon))
    });
    if tokio::time::timeout(LAST, copied).await.is_err() {
        tracing::warn!(
            event = "receipts_not_copied",
            "the newest receipts are not at every location yet"
        );
    }
}
