//! Owns which implementation of TLS this process uses. See [`install`].

use std::sync::Once;

/// A PEM file of authorities, even with all of the system's.
pub const LARGEST_AUTHORITIES: usize = 4 << 20;

/// Lets every client of this process use `ring`.
pub fn install() {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // It fails where one is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}
