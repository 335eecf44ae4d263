//! Whole calls over shared connections, in virtual time, to servers that say anything.

mod world;

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use memcached2_proto::command::Incr;
use memcached2_proto::operation::GetMany;
use memcached2_proto::shared::SharedConnections;
use memcached2_proto::{Delete, Error, Get, Instant, Now, Options, Router, Store, Value};

use self::world::World;

/// How long a call may take.
const TIMEOUT: Duration = Duration::from_millis(1000);
/// How often driver and caller may have their turn after the deadline of a call until it ends: it may move ten times from servers that
/// refuse connections at once, and be sent twice at each.
const ROUNDS: u32 = 22;
const KEYS: [&str; 4] = ["a", "bb", "ccc", "dddd"];
const SERVERS: [&str; 2] = ["10.0.0.1", "10.0.0.2"];

/// A call under way: `true` if it has returned the value of another key.
struct Caller<'c> {
    call: Pin<Box<dyn Future<Output = bool> + 'c>>,
    deadline: Instant,
    /// How often it was polled after its deadline, each time after the tasks were run.
    late: u32,
    /// How often the tasks had been run by then.
    runs: u32,
}

/// Plays `data` as a script of what callers, the network and servers do.
///
/// Every call ends by its deadline. As long as the servers are honest, a value comes under its own key only, whatever is cut, dropped
/// or delayed. When the client is gone, its tasks end.
pub fn shared(data: &[u8]) {
    let world = World::new();
    let options = Options::default().timeout(TIMEOUT).connect_timeout(TIMEOUT / 2);
    let router = Router::with_options(SERVERS, &options).expect("two addresses");
    let router = router.for_client(1, || Now::fixed(Instant::ZERO, SystemTime::UNIX_EPOCH));
    let client = SharedConnections::new(router, &options, world.clone());
    let mut callers: Vec<Caller<'_>> = Vec::new();
    let mut script = data.iter().copied();
    while let Some(step) = script.next() {
        let argument = script.next().unwrap_or_default();
        let chosen = usize::from(argument) % callers.len().max(1);
        match step % 12 {
            0..=2 if callers.len() < 64 => {
                let deadline = world.now() + TIMEOUT;
                callers.push(Caller { call: call(&client, argument, now(&world)), deadline, late: 0, runs: 0 });
            }
            3 | 4 => poll(&mut callers, &world),
            5 => world.run_tasks(),
            6 if !callers.is_empty() => drop(callers.swap_remove(chosen)),
            7 => world.pass(Duration::from_millis(u64::from(argument))),
            8 => world.release(argument),
            9 => world.close(argument),
            10 => world.inject(argument, script.by_ref().take(usize::from(argument >> 2)).collect()),
            11 => world.toggle(argument),
            _ => {}
        }
    }
    // Nothing more comes: each call ends by its deadline.
    for _ in 0..64 {
        world.run_tasks();
        poll(&mut callers, &world);
        world.pass(TIMEOUT / 8);
    }
    assert!(callers.is_empty(), "{} calls do not end", callers.len());
    drop(callers);
    drop(client);
    for _ in 0..64 {
        world.run_tasks();
        world.pass(TIMEOUT);
    }
    assert_eq!(world.tasks(), 0, "tasks are left of a client that is gone");
}

fn now(world: &World) -> Now {
    Now::fixed(world.now(), SystemTime::UNIX_EPOCH + Duration::from_secs(world::START))
}

/// Polls all callers once, in turn, and forgets those that are done.
fn poll(callers: &mut Vec<Caller<'_>>, world: &World) {
    let mut cx = Context::from_waker(Waker::noop());
    callers.retain_mut(|caller| match caller.call.as_mut().poll(&mut cx) {
        Poll::Ready(is_wrong) => {
            assert!(!is_wrong || !world.is_honest(), "a value came under another key");
            false
        }
        Poll::Pending => {
            if world.now() >= caller.deadline && world.runs() > caller.runs {
                (caller.late, caller.runs) = (caller.late + 1, world.runs());
                // The driver notices when it is run.
                assert!(caller.late <= ROUNDS, "a call outlives its deadline");
            }
            true
        }
    });
}

/// Some call; a value is always its key, with a mark.
fn call<'c>(client: &'c SharedConnections<World>, choice: u8, now: Now) -> Pin<Box<dyn Future<Output = bool> + 'c>> {
    let key = KEYS[usize::from(choice) % KEYS.len()];
    let is_wrong =
        |key: &str, value: &Value| value.data().strip_suffix(b"!").is_none_or(|found| found != key.as_bytes());
    let many = move |keys: &'static [&'static str]| async move {
        let results = client.run(GetMany::new(keys)?, now, None).await?;
        let wrong = |(key, result): (&&str, Result<&Option<Value>, &Error>)| matches!(result, Ok(Some(value)) if is_wrong(key, value));
        Ok::<_, Error>(keys.iter().zip(results.iter()).any(wrong))
    };
    let one = async move || {
        Ok::<_, Error>(match choice / 4 % 8 {
            0..=2 => client.run(Get::new(key)?, now, None).await?.is_some_and(|value| is_wrong(key, &value)),
            3 | 4 => client.run(Store::set(key, &format!("{key}!"))?, now, None).await.map(|_| false)?,
            5 => client.run(Delete::new(key)?, now, None).await.map(|_| false)?,
            6 => client.run(Incr::new(key, 1)?, now, None).await.map(|_| false)?,
            _ => many(&KEYS).await?,
        })
    };
    Box::pin(async move { one().await.unwrap_or(false) })
}
