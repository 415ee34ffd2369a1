//! The daemon as its users meet it: a scratch world with a signed policy in git, live data, locations and keys, and the
//! program itself run in it.

mod bombs;
mod cadence;
mod crash;
mod damage;
mod doubt;
mod dump;
mod locations;
mod plans;
mod published;
mod store;
mod story;
mod surroundings;
mod vanished;
mod world;
