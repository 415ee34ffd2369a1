//! Owns being asked to end: by a service manager, a terminal or a parent. Never ends the process itself. The interesting
//! function is [`when_asked_to_end`].

use std::io;
use std::task::Poll;

use tokio::signal::unix::{SignalKind, signal};

/// Runs `act` on a thread of its own when one of the signals arrives. What a process does afterwards is for `act` to say.
///
/// # Errors
/// When the signals cannot be waited for.
pub fn when_asked_to_end(
    signals: &[SignalKind],
    act: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut waits = {
        let _entered = runtime.enter();
        let all: io::Result<Vec<_>> = signals.iter().map(|kind| signal(*kind)).collect();
        all?
    };
    std::thread::spawn(move || {
        runtime.block_on(std::future::poll_fn(|context| {
            let any = waits
                .iter_mut()
                .any(|one| one.poll_recv(context).is_ready());
            if any { Poll::Ready(()) } else { Poll::Pending }
        }));
        act();
    });
    Ok(())
}

/// The signals that ask a process to end and that it may answer.
pub const ASKING: [SignalKind; 2] = [SignalKind::terminate(), SignalKind::interrupt()];

/// Those, and what a terminal sends: an effect has no terminal, and none of them may cut its clean-up short.
pub const ASKING_AN_EFFECT: [SignalKind; 4] = [
    SignalKind::terminate(),
    SignalKind::interrupt(),
    SignalKind::hangup(),
    SignalKind::quit(),
];
