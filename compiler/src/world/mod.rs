//! Owns every effect of the compiler below the command line: files, git, clock, randomness, the terminal, processes. Decides
//! nothing about policy. The interesting function is [`tree::read`].

pub mod base;
pub mod clock;
pub mod files;
pub mod git;
pub mod supervise;
pub mod terminal;
pub mod tree;
