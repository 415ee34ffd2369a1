//! Owns the worker's end: reads its order, ends when its daemon does, tells how far it is, and answers. The interesting function
//! is [`run`].

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::backup::{catch_up, prune, take_backup};
use super::protocol::{Answer, ORDER_LIMIT, Order, Word};
use super::source;
use crate::progress::Gauge;
use crate::world::cancel::Cancel;
use crate::world::process::{self, signals};
use crate::world::secret;
use crate::world::vault::{Vault, all_derived};

/// How often the daemon hears how far its worker is: often enough for a person who watches.
const TOLD_EACH: Duration = Duration::from_millis(500);

/// The whole life of the worker.
pub fn run() -> ExitCode {
    // Whoever asks an effect to end must find everything that it started ended too, its server's work among it.
    let (stop, cleans_up) = (Cancel::new(), Arc::new(AtomicBool::new(false)));
    let (asked, undoes) = (stop.clone(), Arc::clone(&cleans_up));
    let asked = signals::when_asked_to_end(&signals::ASKING_AN_EFFECT, move || {
        if undoes.load(Ordering::SeqCst) {
            return asked.cancel();
        }
        process::end_all();
        std::process::exit(1);
    });
    // Not the library's standard input, which keeps a copy of what it read.
    let input = std::io::stdin().as_fd().try_clone_to_owned();
    let (Ok(()), Ok(input)) = (asked, input) else {
        return ExitCode::from(2);
    };
    let mut input = File::from(input);
    let line = secret::read_line(&mut input, ORDER_LIMIT);
    let order = line
        .ok()
        .and_then(|line| secret::from_line::<Order>(&line).ok());
    let Some(order) = order else {
        // The line may hold a key, so nothing of it is shown.
        eprintln!("the order cannot be read");
        return ExitCode::from(2);
    };
    // The daemon holds the pipe open for as long as it lives. An effect without it would be recorded by nobody, and a dump
    // without us would load its server for nothing.
    std::thread::spawn(move || {
        let mut rest = Vec::new();
        let _ = input.read_to_end(&mut rest);
        process::end_all();
        std::process::exit(4);
    });
    let gauge = Arc::<Gauge>::default();
    let counted = Arc::clone(&gauge);
    std::thread::spawn(move || tell_of(&counted));
    cleans_up.store(order.cleans_up(), Ordering::SeqCst);
    let answer = answer(order, &gauge, stop);
    let derived = all_derived();
    if !derived.is_empty() {
        // The answer alone counts.
        let _ = say(&Word::Derived(derived));
    }
    match say(&Word::Answer(answer)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(1),
    }
}

fn answer(order: Order, gauge: &Arc<Gauge>, stop: Cancel) -> Answer {
    let done = match order {
        Order::Backup(order) => {
            take_backup(&order, gauge).map(|report| Answer::Backup(Box::new(report)))
        }
        Order::CatchUp { access } => catch_up(&access, gauge).map(Answer::CatchUp),
        Order::Prune { access, request } => prune(&access, &request, gauge).map(Answer::Pruned),
        Order::Location(job) => Ok(match Vault::perform(&job, gauge) {
            Ok(done) => Answer::Location(Box::new(done)),
            Err(error) => Answer::LocationFailed(Box::new(error)),
        }),
        Order::Apply(order) => {
            source::apply(&order, gauge, stop).map(|done| Answer::Applied(Box::new(done)))
        }
        Order::Examine { binding, within } => {
            let seen = source::examine(&binding, within);
            Ok(Answer::Examined(Box::new(seen)))
        }
        Order::Open { access } => access.vault().and_then(|vault| {
            let exists = vault.opens()?;
            Ok(Answer::Opened { exists })
        }),
        Order::Probe {
            binding,
            restore_id,
            within,
        } => Ok(Answer::Probed(source::probe(&binding, &restore_id, within))),
    };
    done.unwrap_or_else(|failure| Answer::Failed {
        code: failure.code.to_string(),
        message: failure.message,
        help: failure.help,
    })
}

/// Whatever changed is told. A daemon that is gone hears nothing; the watcher of standard input ends this process.
fn tell_of(gauge: &Gauge) {
    let mut told = None;
    loop {
        let progress = gauge.progress();
        if told.replace(progress) != Some(progress) {
            let _ = say(&Word::Progress(progress));
        }
        std::thread::sleep(TOLD_EACH);
    }
}

fn say(word: &Word) -> std::io::Result<()> {
    let bytes = secret::to_line(word)?;
    let mut out = std::io::stdout().lock();
    out.write_all(&bytes).and_then(|()| out.flush())
}
