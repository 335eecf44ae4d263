//! A twemproxy in front of three memcacheds.

use std::fs;
use std::io::Read as _;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use memcached2_testkit::{Memcached, ReservedPort};

/// Longer than it takes to start.
const PATIENT: Duration = Duration::from_secs(10);

/// Ended when it is dropped.
#[derive(Debug)]
pub(crate) struct Twemproxy {
    port: ReservedPort,
    stats: ReservedPort,
    process: Child,
    directory: PathBuf,
}

impl Twemproxy {
    pub(crate) fn installed() -> bool {
        Command::new("nutcracker").arg("-V").stdin(Stdio::null()).output().is_ok_and(|output| output.status.success())
    }

    /// Starts one that asks `servers`, and goes on to ask each of them when it is down.
    pub(crate) fn start(servers: &[Memcached]) -> Self {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let name = format!("memcached2-nutcracker-{}-{}", std::process::id(), STARTED.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).expect("a directory for temporary files");
        let [port, stats] = [ReservedPort::new(), ReservedPort::new()];
        let address = port.address();
        let listed: String = servers.iter().map(|server| format!("   - {}:1\n", server.address())).collect();
        let pool = format!(
            "shared:\n  listen: {address}\n  hash: fnv1a_64\n  distribution: ketama\n  timeout: 10000\n  \
             auto_eject_hosts: false\n  server_connections: 1\n  servers:\n{listed}"
        );
        let file = |name: &str| directory.join(name);
        fs::write(file("pool.yml"), pool).expect("a file");
        let mut command = Command::new("nutcracker");
        command.arg("-c").arg(file("pool.yml")).arg("-o").arg(file("log")).arg("-p").arg(file("pid"));
        command.args(["-a", "127.0.0.1", "-s", &stats.address().port().to_string()]);
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let process = process.expect("nutcracker runs");
        let mut proxy = Self { port, stats, process, directory };
        let begun = Instant::now();
        // There is no event when it listens.
        while TcpStream::connect(address).is_err() {
            let ended = proxy.process.try_wait().expect("its process can be watched");
            let log = || fs::read_to_string(proxy.directory.join("log")).unwrap_or_default();
            assert!(ended.is_none() && begun.elapsed() < PATIENT, "nutcracker does not start: {ended:?}\n{}", log());
            thread::sleep(Duration::from_millis(2));
        }
        proxy
    }

    pub(crate) fn address(&self) -> String {
        self.port.address().to_string()
    }

    /// How many connections it has ever had, those to its servers included.
    #[allow(dead_code, reason = "not all who start one count them")]
    pub(crate) fn connections(&self) -> u64 {
        let mut stream = TcpStream::connect(self.stats.address()).expect("it tells its statistics");
        stream.set_read_timeout(Some(PATIENT)).expect("a valid timeout");
        let mut told = String::new();
        stream.read_to_string(&mut told).expect("it tells them whole");
        let (_, rest) = told.split_once("\"total_connections\":").expect("it counts its connections");
        let digits = rest.trim_start().split(|c: char| !c.is_ascii_digit()).next();
        digits.and_then(|digits| digits.parse().ok()).expect("a number")
    }
}

impl Drop for Twemproxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}
