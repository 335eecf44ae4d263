//! The executor that runs the task of each connection, and its timers.

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::{Duration, SystemTime};

use memcached2_proto::opening::Endpoint;
use memcached2_proto::shared::{AsyncTimer, Connector, Driver, Runtime, Spawner, StreamOpening, open_stream};
use memcached2_proto::{Error, Instant, Now};

/// The moment on the clock of the system.
#[inline]
pub(crate) fn now() -> Instant {
    std::time::Instant::now().into()
}

/// Where the tasks of the connections run. Sockets and timers are those of async-io, which serves any executor.
#[derive(Debug, Clone)]
pub(crate) enum Executor {
    #[cfg(feature = "async-std")]
    AsyncStd,
    Spawner(Spawner),
}

impl Executor {
    pub(crate) fn new(spawner: Option<Spawner>) -> Result<Self, Error> {
        match spawner {
            Some(spawner) => Ok(Self::Spawner(spawner)),
            #[cfg(feature = "async-std")]
            None => Ok(Self::AsyncStd),
            #[cfg(not(feature = "async-std"))]
            None => Err(Error::no_runtime(
                "no executor: give Client::builder() a spawner, such as |task| smol::spawn(task).detach(), or enable the \
                 feature async-std",
            )),
        }
    }
}

/// An executor, and what connects.
#[derive(Debug, Clone)]
pub(crate) struct System {
    pub(crate) executor: Executor,
    pub(crate) connector: Arc<dyn Spawn>,
}

/// Starts the task that drives a connection, which is compiled for each kind of stream.
pub(crate) trait Spawn: Debug + Send + Sync {
    fn spawn(&self, driver: Driver, executor: &Executor);

    /// Opens a connection that belongs to one caller.
    fn open(&self, endpoint: Arc<Endpoint>, within: Duration) -> StreamOpening;
}

impl<C: Connector<Stream: Send + 'static> + Clone + Debug + 'static> Spawn for C {
    fn spawn(&self, driver: Driver, executor: &Executor) {
        let task = driver.run(self.clone(), Timer::new());
        match executor {
            #[cfg(feature = "async-std")]
            Executor::AsyncStd => drop(async_std::task::spawn(task)),
            Executor::Spawner(spawner) => spawner.spawn(Box::pin(task)),
        }
    }

    fn open(&self, endpoint: Arc<Endpoint>, within: Duration) -> StreamOpening {
        let now = Now::new(now(), SystemTime::now);
        Box::pin(open_stream(self.clone(), Timer::new(), endpoint, now, within))
    }
}

impl Runtime for System {
    /// There is one reactor in a process, and an executor that has stopped ends its tasks.
    type Id = ();
    type Timer = Timer;

    #[inline]
    fn id(&self) -> Result<(), Error> {
        Ok(())
    }

    #[inline]
    fn now(&self) -> Instant {
        now()
    }

    fn timer(&self) -> Result<Timer, Error> {
        Ok(Timer::new())
    }

    fn spawn(&self, driver: Driver) {
        self.connector.spawn(driver, &self.executor);
    }
}

/// One timer for all deadlines of a connection.
#[derive(Debug)]
pub(crate) struct Timer {
    timer: async_io::Timer,
    /// When it ends, and what it then wakes, unless it has ended.
    set: Option<(Instant, Arc<Alarm>)>,
}

/// Wakes the task of a connection when its timer has ended.
#[derive(Debug)]
struct Alarm {
    has_ended: AtomicBool,
    task: Waker,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.has_ended.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

impl AsyncTimer for Timer {
    fn now(&self) -> Instant {
        now()
    }

    #[inline]
    fn poll_until(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<Instant> {
        match &self.set {
            // To put it off would wake the reactor. So it ends too soon now and then, and is set again.
            Some((set, alarm)) if *set <= deadline && alarm.task.will_wake(cx.waker()) => {
                if !alarm.has_ended.load(Ordering::Acquire) {
                    return Poll::Pending;
                }
                let now = now();
                if now >= deadline {
                    self.set = None;
                    return Poll::Ready(now);
                }
            }
            _ => {}
        }
        self.start(cx, deadline)
    }
}

impl Timer {
    pub(crate) fn new() -> Self {
        Self { timer: async_io::Timer::never(), set: None }
    }

    /// Sets it. The timer of async-io reads the clock each time it is polled, so it is polled only now.
    #[cold]
    fn start(&mut self, cx: &Context<'_>, deadline: Instant) -> Poll<Instant> {
        let alarm = Arc::new(Alarm { has_ended: AtomicBool::new(false), task: cx.waker().clone() });
        self.timer.set_at(deadline.to_std().unwrap_or_else(std::time::Instant::now));
        self.set = Some((deadline, Arc::clone(&alarm)));
        ready!(Pin::new(&mut self.timer).poll(&mut Context::from_waker(&alarm.into())));
        self.set = None;
        Poll::Ready(now().max(deadline))
    }
}
