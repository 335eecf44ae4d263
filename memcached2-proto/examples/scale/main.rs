//! A simulation of more clients and servers than a test machine has: what it costs that servers go down and come back, as the number of
//! clients grows.
//!
//! ```text
//! cargo run --release -p memcached2-proto --example scale [-- SEED]
//! ```
//!
//! Each client is a program of its own: a router with a journal, on the default options, whose calls go through the same [`Call`] as
//! those of a real client. Time is made by hand, so that half a minute passes in a moment, and the same seed gives the same table.
//! One server in ten goes down after three seconds, and is back, empty, ten seconds later. Either it was killed, and refuses
//! connections, or it is cut off, and nothing answers. A client asks each of those servers for keys four times a second on average, and
//! each other one five times less often. One call in four is a `set`. An answer takes a millisecond.
#![expect(clippy::print_stdout, reason = "an example talks")]

mod pending;
pub(crate) mod world;

use memcached2_proto::Error;

use self::world::{Figures, Outage, simulate};

fn main() -> Result<(), Error> {
    let seed = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1);
    println!(
        "| clients | servers | down | outage | connections | attempts a second | at most in 0.1 s | back: 50 % | 99 % | all | connects in 0.1 s | calls | failed | slow | keys moved | to one server | journal | empty after |"
    );
    println!("|{}", "---|".repeat(18));
    for outage in [Outage::Killed, Outage::CutOff] {
        for (clients, servers) in [(10, 10), (100, 10), (1000, 10), (10, 100), (100, 100), (1000, 100)] {
            let figures = simulate(clients, servers, outage, seed)?;
            let Figures {
                calls,
                failed,
                slow,
                attempts,
                herd,
                rush,
                back,
                moved,
                on_one,
                journal,
                emptied,
                connections,
            } = figures;
            let [half, most, all] = back.map(|time| format!("{:.2} s", time.as_secs_f64()));
            let (down, emptied) = (servers / 10, emptied.as_secs_f64());
            let (moved, on_one) = (moved * 100.0, on_one * 100.0);
            println!(
                "| {clients} | {servers} | {down} | {outage:?} | {connections} | {attempts:.1} | {herd} | {half} | {most} | {all} | \
                 {rush} | {calls} | {failed} | {slow} | {moved:.1} % | {on_one:.0} % | {journal} | {emptied:.2} s |"
            );
        }
    }
    Ok(())
}
