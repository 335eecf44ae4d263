//! Counts the visits of a browser to an application of actix-web. Its sessions are in memcached.
//!
//! ```text
//! cargo run -p memcached2-actix-session --example counter
//! ```
//!
//! The server is one within this process, and so is the browser: three requests to the application, and what it answers.
#![expect(clippy::print_stdout, reason = "an example prints")]

use actix_session::config::PersistentSession;
use actix_session::{Session, SessionMiddleware};
use actix_web::cookie::{Key, time::Duration};
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actix_web::{App, Error, web};
use memcached2_actix_session::MemcachedSessionStore;
use memcached2_actix_session::memcached2_tokio::Client;
use memcached2_testkit::EmbeddedServer;

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = EmbeddedServer::start();
    let store = MemcachedSessionStore::new(Client::new([server.address()])?);
    // All instances of a program need the same key, so that it stands in the configuration.
    let sessions = SessionMiddleware::builder(store, Key::generate())
        .session_lifecycle(PersistentSession::default().session_ttl(Duration::minutes(30)))
        .build();
    // A program would make it in an `HttpServer::new`.
    let app = init_service(App::new().wrap(sessions).route("/", web::get().to(visit))).await;

    let mut cookies = Vec::new();
    for _ in 0..3 {
        let request = cookies.iter().cloned().fold(TestRequest::get(), TestRequest::cookie);
        let response = call_service(&app, request.to_request()).await;
        cookies = response.response().cookies().map(|cookie| cookie.into_owned()).collect();
        println!("{}", str::from_utf8(&read_body(response).await)?);
    }
    Ok(())
}

async fn visit(session: Session) -> Result<String, Error> {
    let visits = session.get::<u64>("visits")?.unwrap_or(0) + 1;
    session.insert("visits", visits)?;
    Ok(format!("this is your visit {visits}"))
}
