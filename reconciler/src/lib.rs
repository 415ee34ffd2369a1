//! Makes reality match an accepted bundle and keeps the evidence. [`plan`] and [`review`] are pure; effects are in
//! [`control`], [`cli`] and [`world`].

pub mod config;
pub mod observed;
pub mod plan;
pub mod review;
pub mod store;
pub mod world;
