//! Owns how much is opened: what reads published files asks here how large they may be. Not policy: these keep a stranger's
//! bytes from filling memory before a signature is looked at.

/// Trust roots of a chain.
pub const ROOTS: u64 = 64;
/// Bytes of one trust root.
pub const ROOT_BYTES: u64 = 1 << 20;
/// Bytes of an envelope.
pub const ENVELOPE_BYTES: u64 = 16 << 20;
/// Bytes of a bundle.
pub const BUNDLE_BYTES: u64 = 64 << 20;
/// Bytes of the provenance.
pub const PROVENANCE_BYTES: u64 = 256 << 20;
