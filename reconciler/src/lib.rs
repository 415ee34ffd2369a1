//! Makes reality match an accepted bundle and keeps the evidence; the binary is `seawalld`.

pub mod world;
