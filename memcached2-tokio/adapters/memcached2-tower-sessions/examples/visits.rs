//! Counts the visits of a browser to an application of axum. Its sessions are in memcached.
//!
//! ```text
//! cargo run -p memcached2-tower-sessions --example visits
//! ```
//!
//! The server is one within this process, and so is the browser: three requests to the application, and what it answers.
#![expect(clippy::print_stdout, reason = "an example prints")]

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderValue, Request, StatusCode, header};
use axum::routing::get;
use memcached2_testkit::EmbeddedServer;
use memcached2_tower_sessions::MemcachedStore;
use memcached2_tower_sessions::memcached2_tokio::Client;
use tower::ServiceExt as _;
use tower_sessions::{Expiry, Session, SessionManagerLayer};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = EmbeddedServer::start();
    let client = Client::new([server.address()])?;
    let half_an_hour = Expiry::OnInactivity(time::Duration::minutes(30));
    let sessions = SessionManagerLayer::new(MemcachedStore::new(client)).with_expiry(half_an_hour);
    // A program would `axum::serve` it.
    let app = Router::new().route("/", get(visit)).layer(sessions);

    let mut cookie = HeaderValue::from_static("");
    for _ in 0..3 {
        let request = Request::get("/").header(header::COOKIE, &cookie).body(Body::empty())?;
        let response = app.clone().oneshot(request).await?;
        if let Some(new) = response.headers().get(header::SET_COOKIE) {
            cookie = new.clone();
        }
        let page = to_bytes(response.into_body(), 1000).await?;
        println!("{}", str::from_utf8(&page)?);
    }
    Ok(())
}

async fn visit(session: Session) -> Result<String, StatusCode> {
    // The log has what went wrong: that the server is down, say.
    let failed = |_| StatusCode::SERVICE_UNAVAILABLE;
    let visits = session.get::<u64>("visits").await.map_err(failed)?.unwrap_or(0) + 1;
    session.insert("visits", visits).await.map_err(failed)?;
    Ok(format!("this is your visit {visits}"))
}
