//! The binary `seawall`.
fn main() {}
