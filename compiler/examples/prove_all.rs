//! What proving a whole model costs: the tree is resolved whole, given more locations until it has as many as wanted, and all
//! facts of all datasets are proven. For `scripts/bench-prove`. Prints datasets, locations, loss cases, and the seconds of the
//! proofs alone and with their JSON.
//! Usage: prove_all FOLDER ENVIRONMENT LOCATIONS
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a measurement ends where it fails, and reads files itself"
)]

use std::path::Path;
use std::time::Instant;

use compiler::compile::resolved;
use compiler::facts;
use compiler::parse::parse;
use compiler::world::tree;
use contract::calendar::Zones;
use contract::model::Model;
use contract::recovery::Recovery;
use rayon::prelude::*;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let (sources, _) = tree::read(Path::new(&arguments[1])).unwrap();
    let compilation = resolved(parse(&sources), &arguments[2].parse().unwrap());
    let mut model = compilation.model.unwrap();
    spread(&mut model, arguments[3].parse().unwrap());

    let begun = Instant::now();
    let zones = Zones::bundled();
    let recovery = Recovery::new(&model, &zones);
    let shared = begun.elapsed();
    let ids: Vec<_> = model.datasets.keys().collect();
    let proven = ids.par_iter().map(|id| recovery.facts(id).unwrap());
    let cases: usize = proven.map(|facts| facts.loss.len()).sum();
    let alone = begun.elapsed();
    let begun = Instant::now();
    let mut bytes = 0;
    facts::of_datasets(&model, &mut |_, fact| bytes += fact.to_string().len());
    println!(
        "{} {} {cases} {:.3} {:.3} {:.3} {}",
        ids.len(),
        model.settings.locations.len(),
        shared.as_secs_f64(),
        alone.as_secs_f64(),
        begun.elapsed().as_secs_f64(),
        bytes >> 20
    );
}

/// Copies locations, each into a region and an account of its own, and gives every plan some of them.
fn spread(model: &mut Model, wanted: usize) {
    let known: Vec<_> = model.settings.locations.values().cloned().collect();
    let mut added = Vec::new();
    for (number, original) in known.iter().cycle().enumerate() {
        if known.len() + number >= wanted {
            break;
        }
        let mut location = original.clone();
        location.location_id = format!("{}_{number}", original.location_id)
            .parse()
            .unwrap();
        let domains = &mut location.fault_domains;
        domains.region = format!("{}-{number}", domains.region);
        domains.zone = format!("{}-{number}", domains.zone);
        domains.account = format!("{}-{number}", domains.account);
        added.push(location.location_id.clone());
        model
            .settings
            .locations
            .insert(location.location_id.clone(), location);
    }
    for (number, plan) in model.plans.values_mut().enumerate() {
        if let Some(more) = added.get(number % (added.len() + 1)) {
            plan.locations.insert(more.clone());
        }
    }
}
