//! Which cases run where, and the table of how many have.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::Command;
use std::sync::{LazyLock, Mutex};

use memcached2_testkit::{Memcached, MemcachedVersion};

use super::LISTS;
use super::servers::{Channel, EMBEDDED, Kind, MEMCACHED, On};

/// A case on a server.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: &'static str,
    /// The oldest and the newest memcached that it can run on, if there is one.
    pub(super) since: &'static [MemcachedVersion],
    pub(super) until: &'static [MemcachedVersion],
    pub(super) not_over: &'static [Channel],
}

/// The cases of a file.
#[derive(Debug)]
pub(super) struct List {
    pub(super) module: &'static str,
    pub(super) served: &'static [Case],
    pub(super) scripted: &'static [&'static str],
}

impl Case {
    /// Whether it is skipped there; why is printed unless it is so for every memcached.
    fn is_skipped(&self, on: Kind) -> bool {
        let is_real = on.server == On::Memcached;
        self.not_over.contains(&on.channel)
            || is_real && self.since.iter().any(|oldest| Memcached::is_too_old_for(self.name, *oldest))
            || is_real && self.until.iter().any(|newest| Memcached::is_too_new_for(self.name, *newest))
            || is_real && on.channel.is_tls() && Memcached::has_no_tls_for(self.name)
            || is_real && on.channel == Channel::TlsWithPassword && Memcached::is_too_old_for(self.name, (1, 5, 15))
    }
}

/// Runs a case of a list.
pub(super) fn serve(run: fn(Kind), cases: &[Case], name: &'static str, on: Kind) {
    let case = cases.iter().find(|case| case.name == name).expect("it is in its list");
    let on = Kind { case: name, ..on };
    let is_skipped = case.is_skipped(on);
    let _ran = Ran(Some((on, is_skipped)));
    if !is_skipped {
        run(on);
    }
}

/// Dropped at the end of each case; after the last one it prints how many there were.
pub(super) struct Ran(Option<(Kind, bool)>);

impl Ran {
    pub(super) fn scripted() -> Self {
        Self(None)
    }
}

impl Drop for Ran {
    fn drop(&mut self) {
        /// How many have run, and were skipped, by place.
        static DONE: Mutex<BTreeMap<String, [usize; 2]>> = Mutex::new(BTreeMap::new());
        static EXPECTED: LazyLock<usize> = LazyLock::new(|| expected().len());
        let (place, is_skipped) = self.0.map_or_else(
            || ("on scripted servers".to_owned(), false),
            |(on, is_skipped)| (format!("on {} {}", on.server.name(), on.channel.name()), is_skipped),
        );
        let Ok(mut done) = DONE.lock() else { return };
        done.entry(place).or_default()[usize::from(is_skipped)] += 1;
        if done.values().flatten().sum::<usize>() == *EXPECTED {
            for (place, [ran, skipped]) in &*done {
                // Unlike `eprintln!`, this is shown for tests that pass, too.
                let _ = writeln!(std::io::stderr(), "{}: {ran} cases {place}, {skipped} skipped", crate::subject::NAME);
            }
        }
    }
}

/// The names of the tests of all cases: what does not depend on the client.
fn expected() -> Vec<String> {
    let channels = ["", "_by_unix", "_by_tls", "_by_tls_with_password"];
    let places = ["on_embedded", "on_memcached"].map(|server| channels.map(|channel| format!("{server}{channel}")));
    assert_eq!([channels.len(); 2], [EMBEDDED.len(), MEMCACHED.len()]);
    let mut names = Vec::new();
    for list in LISTS {
        let (_, file) = list.module.split_once("::").expect("a module of a crate");
        for place in places.as_flattened() {
            names.extend(list.served.iter().map(|case| format!("{file}::{place}::{}", case.name)));
        }
        names.extend(list.scripted.iter().map(|scene| format!("{file}::on_script::{scene}")));
    }
    names.sort();
    names
}

/// So the three clients run the same cases on the same servers over the same channels.
#[test]
fn every_case_of_the_lists_is_a_test_of_this_client() {
    let listed = Command::new(std::env::current_exe().unwrap()).arg("--list").output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let tests = listed.lines().filter_map(|line| line.strip_suffix(": test"));
    let mut tests: Vec<_> = tests.filter(|name| name.contains("::on_")).map(str::to_owned).collect();
    tests.sort();
    assert_eq!(tests, expected());
}
