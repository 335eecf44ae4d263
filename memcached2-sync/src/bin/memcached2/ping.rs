//! `ping`: is each server up?

use std::time::{Duration, Instant};

use memcached2_sync::proto::command::Version;
use memcached2_sync::proto::command::meta::MetaNoop;
use memcached2_sync::proto::operation::OnServer;
use memcached2_sync::{Client, Error};
use serde_json::json;

use crate::fleet::Fleet;
use crate::output::{Failure, Outcome, Output, complain, shown};
use crate::table::Table;

/// What a server has answered.
struct Answer {
    version: String,
    protocol: &'static str,
    /// How long it took to connect, and to find out the protocol.
    connect: Duration,
    /// How long one answer took after that.
    time: Duration,
}

/// Asks all servers at the same time, so that one that is down delays no other.
pub(crate) fn ping(fleet: &Fleet, out: &mut Output) -> Result<Outcome, Failure> {
    let servers = fleet.each()?;
    let answers: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = servers.iter().map(|(_, client)| scope.spawn(|| ask(client))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(Error::closed()))).collect()
    });
    let mut outcome = Outcome::Done;
    let mut table = Table::new(4, ["server", "state", "version", "protocol", "connect", "answer"]);
    for ((name, _), answer) in servers.iter().zip(answers) {
        match answer {
            Ok(Answer { version, protocol, connect, time }) if out.is_json => out.json([
                ("server", json!(name)),
                ("up", json!(true)),
                ("state", json!("up")),
                ("version", json!(version)),
                ("protocol", json!(protocol)),
                ("connect_ms", json!(millis(connect))),
                ("answer_ms", json!(millis(time))),
            ])?,
            Ok(Answer { version, protocol, connect, time }) => {
                let times = [connect, time].map(|time| format!("{:.2} ms", millis(time)));
                let version = shown(version.as_bytes());
                table.row([name.clone(), "up".into(), version, protocol.into()].into_iter().chain(times));
            }
            Err(error) => {
                outcome = Outcome::Missing;
                let state = state_after(&error);
                if out.is_json {
                    out.json([
                        ("server", json!(name)),
                        ("up", json!(false)),
                        ("state", json!(state)),
                        ("error", json!(error.to_string())),
                    ])?;
                } else {
                    complain(&error.to_string());
                    table.row([name.clone(), state.into()]);
                }
            }
        }
    }
    if !out.is_json {
        table.print(out)?;
    }
    Ok(outcome)
}

fn ask(client: &Client) -> Result<Answer, Error> {
    let router = client.router();
    let server = router.servers().first().ok_or_else(Error::no_servers)?;
    let begun = Instant::now();
    let protocol = match client.run(OnServer::new(server, MetaNoop)) {
        Ok(()) => "meta",
        Err(Error::NoMeta { .. }) => "classic",
        Err(error) => return Err(error),
    };
    let connect = begun.elapsed();
    let begun = Instant::now();
    let version = client.run(OnServer::new(server, Version))?;
    Ok(Answer { version: version.as_str().to_owned(), protocol, connect, time: begun.elapsed() })
}

/// The state of a server that is of no use to this client: it is not down if it has answered.
fn state_after(error: &Error) -> &'static str {
    match error {
        Error::Refused { .. } | Error::CredentialsRefused { .. } | Error::CredentialsNotWanted { .. } => "refused",
        error if error.is_server_full() => "full",
        _ => "down",
    }
}

fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e5).round() / 100.0
}
