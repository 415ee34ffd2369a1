//! Makes reality match an accepted bundle and keeps the evidence; the binary is `seawalld`. [`plan`](plan::plan) and
//! [`review`](review::review) are pure, as is [`operation`]; effects are in [`control`], [`cli`] and [`world`].

pub mod alert;
pub mod api;
pub mod cli;
pub mod collapse;
pub mod config;
pub mod control;
pub mod domain;
pub mod doubt;
pub mod failure;
pub mod metrics;
pub mod operation;
pub mod plan;
pub mod progress;
pub mod review;
pub mod schema;
pub mod service;
pub mod simulate;
pub mod spans;
pub mod status;
pub mod store;
pub mod words;
pub mod worker;
pub mod world;
