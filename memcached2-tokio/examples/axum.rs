//! A web service by axum: sessions, a cached query, a rate limit, a health endpoint and a graceful shutdown.
//!
//! ```text
//! cargo run -p memcached2-tokio --example axum
//! curl -i localhost:3000/login/anna
//! curl -H 'cookie: session=...' localhost:3000/me
//! ```
//!
//! It uses the servers that `MEMCACHED_URL` names, separated by commas, or else a server within this process. With `--check` it
//! asks itself some requests, and ends.
#![expect(clippy::print_stdout, clippy::expect_used, clippy::panic, reason = "an example prints, and checks itself")]

use std::fmt::Write as _;
use std::hash::{BuildHasher as _, RandomState};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::{Router, routing::get};
use memcached2_testkit::EmbeddedServer;
use memcached2_tokio::proto::rate_limit::{Rate, RateLimit};
use memcached2_tokio::{Client, Error};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A session ends when nothing was asked for this long.
const SESSION: Duration = Duration::from_secs(30 * 60);
/// For how long the result of the query may be out of date.
const REPORT: Duration = Duration::from_secs(60);
/// How many requests an address may make in a minute.
const LIMIT: u64 = 20;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let embedded = EmbeddedServer::start();
    let servers = std::env::var("MEMCACHED_URL").unwrap_or_else(|_| embedded.address());
    // One client for the whole program. It connects when it is used, so this works while servers are down. A web page does not
    // wait for its cache for long.
    let client =
        Client::builder().servers(servers.split(',')).prefix("web:").timeout(Duration::from_millis(500)).build()?;

    let checks = std::env::args().any(|argument| argument == "--check");
    let listener = TcpListener::bind(("127.0.0.1", if checks { 0 } else { 3000 })).await?;
    let address = listener.local_addr()?;
    println!("http://{address}");

    // Serves until it is asked to stop, and then to the end of the requests that are under way.
    let service = app(client.clone()).into_make_service_with_connect_info::<SocketAddr>();
    let stop = async move {
        match checks {
            // A check that fails panics.
            true => tokio::spawn(check(address)).await.unwrap_or_else(|_| std::process::exit(1)),
            false => _ = tokio::signal::ctrl_c().await,
        }
    };
    axum::serve(listener, service).with_graceful_shutdown(stop).await?;

    // Only then: calls after this fail. The servers get a `quit`.
    let in_time = client.close(Duration::from_secs(5)).await;
    println!("closed{}", if in_time { "" } else { ", and calls were left" });
    Ok(())
}

fn app(client: Client) -> Router {
    Router::new()
        .route("/login/{name}", get(login))
        .route("/me", get(me))
        .route("/report", get(report))
        .layer(from_fn_with_state(client.clone(), limit_rate))
        // Without a limit: it is asked by the load balancer.
        .route("/health", get(health))
        // A clone is cheap: all clones share the connections, and any number of requests share one connection.
        .with_state(client)
}

/// Begins a session. Its value stays on the server: the cookie is only its key.
async fn login(State(client): State<Client>, Path(name): Path<String>) -> Result<Response, Failure> {
    // A session needs a number that nobody can guess: take a crate such as `rand` for that.
    let id = format!("{:016x}", RandomState::new().hash_one(&name));
    client.set(format!("session:{id}"), &name, SESSION).await?;
    let cookie = format!("session={id}; HttpOnly; SameSite=Lax; Path=/");
    Ok(([(header::SET_COOKIE, cookie)], format!("welcome, {name}\n")).into_response())
}

/// Who is logged in. Fetching the session by `gat` makes it last longer.
async fn me(State(client): State<Client>, headers: HeaderMap) -> Result<Response, Failure> {
    let cookies = headers.get(header::COOKIE).and_then(|cookies| cookies.to_str().ok()).unwrap_or_default();
    let session = cookies.split("; ").find_map(|cookie| cookie.strip_prefix("session="));
    // An id that can be no key, with a blank in it, say, is refused before anything is sent.
    let name = match session.filter(|id| id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit())) {
        Some(id) => client.gat(format!("session:{id}"), SESSION).await?,
        None => None,
    };
    match name {
        Some(name) => Ok(format!("you are {}\n", name.as_str()?).into_response()),
        None => Ok((StatusCode::UNAUTHORIZED, "nobody is logged in\n").into_response()),
    }
}

/// A page that takes long to make. If the cache has failed, it is made for each request: slow is better than no page.
async fn report(State(client): State<Client>) -> Result<Vec<u8>, Failure> {
    let page = client.miss_on_error().cache("report", REPORT, slow_query).await?;
    Ok(page.data().to_vec())
}

async fn slow_query() -> Result<String, Failure> {
    tokio::time::sleep(Duration::from_millis(100)).await;
    Ok(format!("made at {}\n", unix_seconds()))
}

/// Counts the requests of each address in each minute. All instances of the program count together.
async fn limit_rate(
    State(client): State<Client>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let limit = RateLimit::new(LIMIT, Duration::from_secs(60));
    // Without the cache nothing is limited, rather than everything.
    match client.limit_rate(format!("rate:{}", peer.ip()), &limit).await {
        Ok(Rate { is_allowed: false, .. }) => StatusCode::TOO_MANY_REQUESTS.into_response(),
        _ => next.run(request).await,
    }
}

/// Asks every server for its version. One that is down has given its keys to the others: the service still works.
async fn health(State(client): State<Client>) -> Result<Response, Failure> {
    let versions = client.version().await?;
    let mut text = String::new();
    for (server, version) in client.router().servers().iter().zip(versions.iter()) {
        let _ = match version {
            Ok(version) => writeln!(text, "{server}: {version}"),
            Err(error) => writeln!(text, "{server} is not there: {error}"),
        };
    }
    let is_up = versions.iter().any(|version| version.is_ok());
    Ok((if is_up { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, text).into_response())
}

/// What went wrong with the cache, where there is no page without it.
struct Failure(Error);

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        println!("{}", self.0);
        (StatusCode::SERVICE_UNAVAILABLE, "try again later\n").into_response()
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The checks of `--check`: what a browser would see.
async fn check(address: SocketAddr) {
    let welcome = ask(address, "/login/anna", "").await;
    let (_, cookie) = welcome.split_once("set-cookie: session=").unwrap_or_else(|| panic!("no session: {welcome}"));
    assert!(ask(address, "/me", &cookie[..16]).await.ends_with("you are anna\n"));
    assert!(ask(address, "/me", "a wrong one").await.starts_with("HTTP/1.1 401"));
    let made = ask(address, "/report", "").await;
    assert!(made.contains("made at ") && ask(address, "/health", "").await.starts_with("HTTP/1.1 200"), "{made}");
    // A minute may end meanwhile, and another count begin.
    let mut answers = Vec::new();
    while answers.len() < 2 * LIMIT as usize && !answers.iter().any(|text: &String| text.starts_with("HTTP/1.1 429")) {
        answers.push(ask(address, "/report", "").await);
    }
    assert!(answers.len() < 2 * LIMIT as usize, "nothing was limited");
    println!("all checks have passed");
}

async fn ask(address: SocketAddr, path: &str, session: &str) -> String {
    let mut socket = TcpStream::connect(address).await.expect("the service listens");
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: localhost\r\ncookie: session={session}\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.expect("it reads");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.expect("it answers");
    answer
}
