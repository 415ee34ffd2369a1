//! What a plain Rego engine needs for the built-in rules over a whole tree: the resolved model and its facts as one JSON
//! document, read by the engine as any of them reads its input, each rule evaluated over all of it. For `scripts/bench-check`.
//! Usage: plain_rego FOLDER ENVIRONMENT
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a measurement ends where it fails, and reads files itself"
)]

use std::path::Path;
use std::time::Instant;

use compiler::compile::resolved;
use compiler::facts::facts;
use compiler::parse::parse;
use compiler::rules::{self, Files, Input};
use compiler::world::tree;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let (sources, _) = tree::read(Path::new(&arguments[1])).unwrap();
    let compilation = resolved(parse(&sources), &arguments[2].parse().unwrap());
    let model = compilation.model.unwrap();
    let at = model.snapshot.effective_from.as_second();
    let input = Input::new(
        &compilation.json,
        &compilation.written,
        &facts(&model, None),
        at,
    );
    let text = serde_json::to_string(input.json()).unwrap();
    drop((model, input, compilation.json, compilation.written));
    let (rules, _) = rules::load(&rules::built_in(), &Files::new());

    let begun = Instant::now();
    let value = regorus::Value::from_json_str(&text).unwrap();
    let read = begun.elapsed();
    for rule in &rules.rules {
        let mut engine =
            rules::engine::prepare(&rule.modules(&rules), std::time::Duration::from_mins(10))
                .unwrap();
        rules::engine::evaluate(&mut engine, &rule.package, &value).unwrap();
    }
    println!(
        "{} {:.2} {:.2}",
        text.len() >> 20,
        read.as_secs_f64(),
        begun.elapsed().as_secs_f64()
    );
}
