//! Owns which implementation of TLS this process uses. See [`install`].

use std::sync::Once;

/// Lets every client of this process use `ring`.
pub fn install() {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // It fails where one is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}
