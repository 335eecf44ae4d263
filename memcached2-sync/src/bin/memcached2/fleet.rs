//! Servers, and clients of all or of one of them.

use memcached2_sync::{BatchResult, Client, Error, Options, Router};

use crate::output::{Failure, Outcome, complain};

/// A list of servers, and how to talk to them.
#[derive(Debug, Clone)]
pub(crate) struct Fleet {
    servers: Vec<String>,
    pub(crate) options: Options,
}

impl Fleet {
    pub(crate) fn new(servers: Vec<String>, options: Options) -> Self {
        let servers = servers.into_iter().filter(|server| !server.trim().is_empty()).collect();
        Self { servers, options }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.servers.is_empty()
    }

    /// Only one of the servers.
    pub(crate) fn only(self, server: &str) -> Result<Self, Failure> {
        let at = self.router()?.find(server)?.index();
        Ok(Self { servers: self.servers.into_iter().skip(at).take(1).collect(), ..self })
    }

    /// The same servers, or others, with the same options.
    pub(crate) fn or_servers(&self, others: &[String]) -> Self {
        let others = Self::new(others.to_vec(), self.options.clone());
        if others.is_empty() { self.clone() } else { others }
    }

    pub(crate) fn router(&self) -> Result<Router, Error> {
        Router::with_options(&self.servers, &self.options)
    }

    /// A client of all servers.
    pub(crate) fn client(&self) -> Result<Client, Error> {
        Client::with_options(&self.servers, self.options.clone())
    }

    /// A client of each server, with its name.
    pub(crate) fn each(&self) -> Result<Vec<(String, Client)>, Error> {
        let names: Vec<_> = self.router()?.servers().iter().map(|server| server.name().to_owned()).collect();
        let client =
            |(name, server): (String, &String)| Ok((name, Client::with_options([server], self.options.clone())?));
        names.into_iter().zip(&self.servers).map(client).collect()
    }
}

/// What each server has answered, with its name. A server that has failed is reported, and makes the outcome that of a server that is
/// down.
pub(crate) fn answers<T>(client: &Client, results: BatchResult<T>) -> (Vec<(String, T)>, Outcome) {
    let mut outcome = Outcome::Done;
    let mut answers = Vec::new();
    for (server, result) in client.router().servers().iter().zip(results) {
        match result {
            Ok(answer) => answers.push((server.name().to_owned(), answer)),
            Err(error) => {
                complain(&error.to_string());
                outcome = Outcome::Missing;
            }
        }
    }
    (answers, outcome)
}
