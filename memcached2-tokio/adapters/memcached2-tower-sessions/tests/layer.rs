//! The store in an application of axum, seen by its browser.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is the failure of the test")]

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use axum::routing::get;
use memcached2_testkit::EmbeddedServer;
use memcached2_tower_sessions::MemcachedStore;
use memcached2_tower_sessions::memcached2_tokio::Client;
use tower::ServiceExt as _;
use tower_sessions::{Expiry, Session, SessionManagerLayer};

fn app(server: &EmbeddedServer) -> Router {
    let store = MemcachedStore::new(Client::new([server.address()]).unwrap());
    let sessions = SessionManagerLayer::new(store).with_expiry(Expiry::OnInactivity(time::Duration::hours(1)));
    let visits = async |session: Session| match session.get::<u64>("visits").await {
        Ok(visits) => {
            let visits = visits.unwrap_or(0) + 1;
            session.insert("visits", visits).await.unwrap();
            (StatusCode::OK, visits.to_string())
        }
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, String::new()),
    };
    Router::new()
        .route("/", get(visits))
        .route("/renew", get(async |session: Session| session.cycle_id().await.unwrap()))
        .route("/logout", get(async |session: Session| session.flush().await.unwrap()))
        .layer(sessions)
}

/// A browser, and the cookie that it was given.
struct Browser {
    app: Router,
    cookie: Option<String>,
}

impl Browser {
    async fn get(&mut self, path: &str) -> (StatusCode, String) {
        let mut request = Request::get(path);
        if let Some(cookie) = &self.cookie {
            request = request.header(header::COOKIE, cookie);
        }
        let response = self.app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        if let Some(cookie) = response.headers().get(header::SET_COOKIE) {
            let (cookie, attributes) = cookie.to_str().unwrap().split_once("; ").unwrap();
            self.cookie = (!attributes.contains("Max-Age=0")).then(|| cookie.to_owned());
        }
        let status = response.status();
        let body = to_bytes(response.into_body(), 1000).await.unwrap();
        (status, String::from_utf8(body.into()).unwrap())
    }

    async fn visits(&mut self) -> String {
        let (status, body) = self.get("/").await;
        assert_eq!(status, StatusCode::OK);
        body
    }
}

#[tokio::test]
async fn browsers_have_sessions_of_their_own() {
    let server = EmbeddedServer::start();
    let app = app(&server);
    let mut first = Browser { app: app.clone(), cookie: None };
    let mut second = Browser { app, cookie: None };
    assert_eq!(first.visits().await, "1");
    assert_eq!(second.visits().await, "1");
    assert_eq!(first.visits().await, "2");
    assert_ne!(first.cookie, second.cookie);
}

#[tokio::test]
async fn a_session_goes_on_with_a_new_id_and_not_with_the_old_one() {
    let server = EmbeddedServer::start();
    let mut browser = Browser { app: app(&server), cookie: None };
    browser.visits().await;
    let mut thief = Browser { app: browser.app.clone(), cookie: browser.cookie.clone() };
    browser.get("/renew").await;
    assert_ne!(browser.cookie, thief.cookie);
    assert_eq!(browser.visits().await, "2");
    assert_eq!(thief.visits().await, "1");
}

#[tokio::test]
async fn a_session_ends_by_a_logout() {
    let server = EmbeddedServer::start();
    let mut browser = Browser { app: app(&server), cookie: None };
    browser.visits().await;
    let mut thief = Browser { app: browser.app.clone(), cookie: browser.cookie.clone() };
    browser.get("/logout").await;
    assert_eq!(browser.cookie, None);
    assert_eq!(thief.visits().await, "1");
    assert_eq!(browser.visits().await, "1");
}

#[tokio::test]
async fn a_session_ends_when_it_was_not_used_for_its_time() {
    let server = EmbeddedServer::start();
    let mut browser = Browser { app: app(&server), cookie: None };
    for visits in ["1", "2", "3"] {
        assert_eq!(browser.visits().await, visits);
        server.clock().advance(std::time::Duration::from_secs(1000));
    }
    server.clock().advance(std::time::Duration::from_secs(3600));
    assert_eq!(browser.visits().await, "1");
}

#[tokio::test]
async fn an_application_hears_of_a_lost_server() {
    let mut server = EmbeddedServer::start();
    let mut browser = Browser { app: app(&server), cookie: None };
    browser.visits().await;
    server.stop();
    assert_eq!(browser.get("/").await.0, StatusCode::SERVICE_UNAVAILABLE);
}
