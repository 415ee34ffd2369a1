//! The daemon as its users meet it: a scratch world with a signed policy in git, live data, locations and keys, and the
//! program itself run in it.

mod api;
mod at_three;
mod back;
mod bombs;
mod bounded;
mod buckets;
mod cadence;
mod clock;
mod collapse;
mod crash;
mod damage;
mod doctor;
mod doubt;
mod dump;
mod https;
mod locations;
mod monitor;
mod notified;
mod plans;
mod published;
mod rebuilt;
mod seal;
mod service;
mod setup;
mod stopping;
mod store;
mod story;
mod strangers;
mod surroundings;
mod tcp;
mod traced;
mod trees;
mod truth;
mod vanished;
mod window;
pub mod world;
