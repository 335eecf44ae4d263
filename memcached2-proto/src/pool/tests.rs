use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;

use memcached2_testkit::Rng;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn pool(connections: usize) -> Pool<u32> {
    Pool::new(PoolLimits { connections, ..PoolLimits::default() })
}

#[test]
fn the_connection_used_last_is_used_first() {
    let (mut pool, now) = (pool(9), Instant::ZERO);
    assert_eq!(pool.checkout(now), Checkout::Open);
    assert_eq!(pool.checkout(now), Checkout::Open);
    pool.checkin(1, now);
    pool.checkin(2, now);
    assert_eq!(pool.checkout(now), Checkout::Reuse(2));
    assert_eq!(pool.checkout(now), Checkout::Reuse(1));
    assert_eq!(pool.open(), 2);
}

#[test]
fn a_connection_grows_old() {
    let (mut pool, now) = (pool(9), Instant::ZERO);
    let _ = pool.checkout(now);
    pool.checkin(1, now);
    assert_eq!(pool.checkout(now + SECOND), Checkout::Reuse(1));
    pool.checkin(1, now);
    assert_eq!(pool.checkout(now + SECOND * 2), Checkout::Look(1));
    pool.checkin(1, now);
    assert_eq!(pool.checkout(now + SECOND * 61), Checkout::Open);
    assert_eq!(pool.open(), 1);
}

#[test]
fn a_caller_that_can_open_no_other_connection_uses_an_old_one() {
    let (mut pool, now) = (pool(1), Instant::ZERO);
    assert_eq!(pool.checkout(now), Checkout::Open);
    let waiting = pool.wait(Waker::noop().clone());
    // The call that had it began more than the idle limit before this one. When it was closed, nobody woke the caller any more.
    assert!(pool.checkin(1, now).is_some());
    assert_eq!(pool.checkout_idle(now + SECOND * 61), Some(Checkout::Look(1)));
    pool.leave(waiting);
    assert_eq!((pool.open(), pool.checkout_idle(now)), (1, None));
}

#[test]
fn an_old_connection_at_the_bottom_is_closed_when_another_comes_back() {
    let (mut pool, now) = (pool(9), Instant::ZERO);
    let _ = (pool.checkout(now), pool.checkout(now));
    pool.checkin(1, now);
    pool.checkin(2, now + SECOND * 61);
    assert_eq!(pool.open(), 1);
    assert_eq!(pool.checkout(now + SECOND * 61), Checkout::Reuse(2));
}

#[test]
fn connections_as_old_as_a_dead_one_are_closed_with_it() {
    let (mut pool, now) = (pool(9), Instant::ZERO);
    let _ = (pool.checkout(now), pool.checkout(now), pool.checkout(now));
    pool.checkin(1, now);
    pool.checkin(2, now);
    // One of them is in use again while another one comes back.
    assert_eq!(pool.checkout(now + SECOND), Checkout::Reuse(2));
    pool.checkin(3, now + SECOND + SECOND / 2);
    pool.discard_idle_since(now + SECOND);
    assert!(pool.closed().is_none());
    assert_eq!((pool.open(), pool.checkout(now + SECOND * 2)), (1, Checkout::Reuse(3)));
}

#[test]
fn a_closed_pool_gives_no_connection_and_keeps_none() {
    let (mut pool, now) = (pool(9), Instant::ZERO);
    let _ = (pool.checkout(now), pool.checkout(now));
    pool.checkin(1, now);
    let woken = pool.wait(Waker::noop().clone());
    let (idle, wakers) = pool.close();
    assert_eq!((idle, wakers.len(), pool.checkout_in_turn(woken, now)), (vec![1], 1, Checkout::Closed));
    assert_eq!(pool.checkout(now), Checkout::Closed);
    assert_eq!(pool.open(), 1);
    assert!(pool.checkin(2, now).is_none());
    assert_eq!((pool.open(), pool.checkout(now)), (0, Checkout::Closed));
}

#[test]
fn a_retired_pool_serves_the_calls_under_way_and_keeps_no_connection() {
    let (mut pool, now) = (pool(1), Instant::ZERO);
    assert_eq!(pool.checkout(now), Checkout::Open);
    pool.retire();
    let waiting = pool.wait(Waker::noop().clone());
    assert!(pool.checkin(1, now).is_some());
    assert_eq!((pool.open(), pool.checkout_in_turn(waiting, now)), (0, Checkout::Open));
    assert!(pool.checkin(2, now).is_none() && pool.open() == 0);
}

#[test]
fn callers_wait_when_all_connections_are_in_use_and_are_served_in_their_turn() {
    let (mut pool, now) = (pool(1), Instant::ZERO);
    assert_eq!((pool.checkout(now), pool.checkout(now)), (Checkout::Open, Checkout::Wait));
    let numbers = [(); 4].map(|()| pool.wait(Waker::noop().clone()));
    assert!(pool.next().is_none() && pool.checkin(1, now).is_some() && pool.next().is_some());
    // No caller overtakes another one.
    assert_eq!((pool.checkout(now), pool.checkout_in_turn(numbers[1], now)), (Checkout::Wait, Checkout::Wait));
    assert_eq!(pool.checkout_in_turn(numbers[0], now), Checkout::Reuse(1));
    assert!(pool.next().is_none() && pool.is_first(numbers[1]) && !pool.is_first(numbers[2]));
    // The deadline of one has passed; the next one got a dead connection.
    pool.leave(numbers[1]);
    assert!(pool.closed().is_some());
    assert_eq!(pool.checkout_in_turn(numbers[3], now), Checkout::Wait);
    assert_eq!(pool.checkout_in_turn(numbers[2], now), Checkout::Open);
    assert_eq!(pool.checkout_again(now), Checkout::Wait);
    assert!(pool.closed().is_some());
    assert_eq!(pool.checkout_in_turn(numbers[3], now), Checkout::Open);
    assert!(pool.closed().is_none());
    assert_eq!(pool.checkout(now), Checkout::Open);
}

/// Whether a caller was woken.
#[derive(Debug, Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Callers of a pool in a random order, each of which does what those of the blocking client do.
struct Callers {
    pool: Pool<()>,
    rng: Rng,
    now: Instant,
    /// When the calls that have a connection began.
    using: Vec<Instant>,
    /// Those that wait, with their numbers.
    waiting: Vec<(u64, Arc<Woken>)>,
}

impl Callers {
    fn wake(waker: Option<Waker>) {
        waker.into_iter().for_each(Waker::wake);
    }

    /// A caller does what the pool says, and waits if it has to.
    fn follow(&mut self, mut checkout: Checkout<()>) {
        loop {
            match checkout {
                Checkout::Reuse(()) => break,
                Checkout::Look(()) | Checkout::Open if self.rng.once_in(3) => {
                    let is_dead = matches!(checkout, Checkout::Look(()));
                    Self::wake(self.pool.closed());
                    if !is_dead {
                        return;
                    }
                    checkout = self.pool.checkout_again(self.now);
                }
                Checkout::Look(()) | Checkout::Open => break,
                Checkout::Closed => return,
                Checkout::Wait => {
                    let woken = Arc::new(Woken::default());
                    self.waiting.push((self.pool.wait(Arc::clone(&woken).into()), woken));
                    return;
                }
            }
        }
        self.using.push(self.now);
    }

    fn step(&mut self) {
        self.now += Duration::from_millis(self.rng.below(2000) as u64);
        match self.rng.below(5) {
            0 => {
                if self.rng.once_in(4) {
                    self.pool.clear();
                }
                let checkout = self.pool.checkout(self.now);
                self.follow(checkout);
            }
            1 if !self.using.is_empty() => {
                let begun = self.using.swap_remove(self.rng.below(self.using.len()));
                Self::wake(self.pool.checkin((), begun));
            }
            2 if !self.using.is_empty() => {
                let begun = self.using.swap_remove(self.rng.below(self.using.len()));
                if self.rng.once_in(2) {
                    self.pool.discard_idle_since(begun);
                }
                Self::wake(self.pool.closed());
            }
            3 if !self.waiting.is_empty() => {
                let (number, _) = self.waiting.swap_remove(self.rng.below(self.waiting.len()));
                self.pool.leave(number);
                Self::wake(self.pool.next());
            }
            _ => {
                let Some(at) = self.waiting.iter().position(|(_, woken)| woken.0.swap(false, Ordering::Relaxed)) else {
                    return;
                };
                let number = self.waiting[at].0;
                match self.pool.checkout_in_turn(number, self.now) {
                    Checkout::Wait => {}
                    checkout => {
                        self.waiting.swap_remove(at);
                        Self::wake(self.pool.next());
                        self.follow(checkout);
                    }
                }
            }
        }
    }
}

#[test]
fn no_caller_waits_while_there_is_a_connection_or_room_for_one() {
    let mut waited = 0;
    for seed in 0..200 {
        let limits = PoolLimits { connections: 1 + seed as usize % 3, idle: SECOND * 5, trusted: SECOND };
        let (rng, now) = (Rng::new(seed), Instant::ZERO + SECOND * 3600);
        let mut callers = Callers { pool: Pool::new(limits), rng, now, using: Vec::new(), waiting: Vec::new() };
        for step in 0..500 {
            if step == 400 && seed % 2 == 0 {
                callers.pool.retire();
            }
            callers.step();
            waited += callers.waiting.len();
            let Some(next) = callers.pool.next() else { continue };
            let first = callers.waiting.iter().find(|(number, _)| callers.pool.is_first(*number)).unwrap();
            assert!(next.will_wake(&Arc::clone(&first.1).into()));
            assert!(first.1.0.load(Ordering::Relaxed), "seed {seed}, step {step}: {:?}", callers.pool);
        }
    }
    assert!(waited > 10_000, "{waited}");
}
