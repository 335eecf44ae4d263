//! What an outage costs many clients, in simulated time: the short form of the example `scale`.

#[path = "../examples/scale/main.rs"]
#[allow(dead_code, reason = "its main")]
mod scale;

use std::time::Duration;

use crate::scale::world::{Outage, simulate};

#[test]
fn a_server_that_is_down_is_asked_once_a_second_by_each_client_however_many_there_are() {
    for outage in [Outage::Killed, Outage::CutOff] {
        for clients in [10, 40] {
            let figures = simulate(clients, 10, outage, 1).unwrap();
            let each = figures.attempts / clients as f64;
            assert!((0.3..1.2).contains(&each), "{outage:?}: {each} attempts a second of each of {clients} clients");
            // They find out at the same time, and do not come back at the same time.
            assert!(figures.herd <= clients as u64, "{outage:?}: {} attempts in a tenth of a second", figures.herd);
        }
    }
}

#[test]
fn all_clients_are_back_soon_after_a_server_is_and_have_deleted_what_it_missed() {
    for outage in [Outage::Killed, Outage::CutOff] {
        let figures = simulate(40, 10, outage, 1).unwrap();
        // Each asks it four times a second, when its wait of at most one and a half is over.
        let soon = Duration::from_secs(4);
        assert!(figures.back[2] <= soon && figures.emptied <= soon, "{outage:?}: {figures:?}");
        assert!(figures.journal > 0 && figures.journal < 100, "{outage:?}: {figures:?}");
        // What a client had asked for until it found out: four keys a second, for as long as a deadline and a connect take.
        assert!(figures.failed <= 40 * 8 && figures.slow <= figures.calls / 10, "{outage:?}: {figures:?}");
    }
}

#[test]
fn a_simulation_with_the_same_seed_has_the_same_figures() {
    let [first, second] = [(); 2].map(|()| simulate(20, 10, Outage::CutOff, 7).unwrap());
    assert_eq!(first, second);
}
