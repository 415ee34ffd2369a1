//! The daemon as its users meet it: a scratch world with a signed policy in git, live data, locations and keys, and the
//! program itself run in it.

mod crash;
mod doubt;
mod dump;
mod locations;
mod plans;
mod store;
mod story;
mod world;
