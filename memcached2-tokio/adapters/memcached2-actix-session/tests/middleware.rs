//! The store in an application of actix-web, seen by its browser.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is the failure of the test")]

use actix_session::config::{CookieContentSecurity, PersistentSession, TtlExtensionPolicy};
use actix_session::{Session, SessionMiddleware};
use actix_web::cookie::{Cookie, Key, time::Duration};
use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::test::{TestRequest, init_service, read_body};
use actix_web::{App, Error, web};
use memcached2_actix_session::MemcachedSessionStore;
use memcached2_actix_session::memcached2_tokio::Client;
use memcached2_testkit::EmbeddedServer;

async fn visit(session: Session) -> Result<String, Error> {
    let visits = session.get::<u64>("visits")?.unwrap_or(0) + 1;
    session.insert("visits", visits)?;
    Ok(visits.to_string())
}

async fn peek(session: Session) -> Result<String, Error> {
    Ok(session.get::<u64>("visits")?.unwrap_or(0).to_string())
}

async fn renew(session: Session) -> &'static str {
    session.renew();
    "renewed"
}

async fn logout(session: Session) -> &'static str {
    session.purge();
    "logged out"
}

/// The application, with sessions of an hour.
async fn app(
    address: String,
    security: CookieContentSecurity,
    extension: TtlExtensionPolicy,
) -> impl Service<actix_http::Request, Response = ServiceResponse, Error = Error> {
    let store = MemcachedSessionStore::new(Client::new([address]).unwrap());
    let lifecycle = PersistentSession::default().session_ttl(Duration::HOUR).session_ttl_extension_policy(extension);
    let sessions = SessionMiddleware::builder(store, Key::generate())
        .cookie_content_security(security)
        .session_lifecycle(lifecycle)
        .build();
    let app = App::new()
        .wrap(sessions)
        .route("/visit", web::get().to(visit))
        .route("/peek", web::get().to(peek))
        .route("/renew", web::get().to(renew))
        .route("/logout", web::get().to(logout));
    init_service(app).await
}

/// A browser, and the cookie that it was given.
struct Browser<'a, A> {
    app: &'a A,
    cookie: Option<Cookie<'static>>,
}

impl<A: Service<actix_http::Request, Response = ServiceResponse, Error = Error>> Browser<'_, A> {
    async fn get(&mut self, path: &str) -> Result<String, Error> {
        let request = self.cookie.iter().cloned().fold(TestRequest::with_uri(path), TestRequest::cookie);
        let response = self.app.call(request.to_request()).await?;
        assert_eq!(response.status(), StatusCode::OK);
        for cookie in response.response().cookies() {
            self.cookie = (cookie.max_age() != Some(Duration::ZERO)).then(|| cookie.into_owned());
        }
        Ok(String::from_utf8(read_body(response).await.into()).unwrap())
    }
}

#[actix_web::test]
async fn browsers_have_sessions_of_their_own() {
    let server = EmbeddedServer::start();
    for security in [CookieContentSecurity::Signed, CookieContentSecurity::Private] {
        let app = app(server.address(), security, TtlExtensionPolicy::OnStateChanges).await;
        let [mut first, mut second] = [(); 2].map(|()| Browser { app: &app, cookie: None });
        assert_eq!(first.get("/peek").await.unwrap(), "0");
        assert_eq!(first.cookie, None);
        assert_eq!(first.get("/visit").await.unwrap(), "1");
        assert_eq!(second.get("/visit").await.unwrap(), "1");
        assert_eq!(first.get("/visit").await.unwrap(), "2");
        assert_eq!(first.get("/peek").await.unwrap(), "2");
    }
}

#[actix_web::test]
async fn a_session_goes_on_with_a_new_key_and_not_with_the_old_one() {
    let server = EmbeddedServer::start();
    let app = app(server.address(), CookieContentSecurity::Private, TtlExtensionPolicy::OnStateChanges).await;
    let mut browser = Browser { app: &app, cookie: None };
    browser.get("/visit").await.unwrap();
    let mut thief = Browser { app: &app, cookie: browser.cookie.clone() };
    browser.get("/renew").await.unwrap();
    assert_eq!(browser.get("/visit").await.unwrap(), "2");
    assert_eq!(thief.get("/visit").await.unwrap(), "1");
}

#[actix_web::test]
async fn a_session_ends_by_a_logout() {
    let server = EmbeddedServer::start();
    let app = app(server.address(), CookieContentSecurity::Private, TtlExtensionPolicy::OnStateChanges).await;
    let mut browser = Browser { app: &app, cookie: None };
    browser.get("/visit").await.unwrap();
    let mut thief = Browser { app: &app, cookie: browser.cookie.clone() };
    browser.get("/logout").await.unwrap();
    assert_eq!(browser.cookie, None);
    assert_eq!(thief.get("/peek").await.unwrap(), "0");
}

#[actix_web::test]
async fn a_session_lasts_for_its_time_from_the_last_change_or_from_the_last_request() {
    let half = std::time::Duration::from_secs(1800);
    for (extension, last) in [(TtlExtensionPolicy::OnStateChanges, "0"), (TtlExtensionPolicy::OnEveryRequest, "2")] {
        let server = EmbeddedServer::start();
        let app = app(server.address(), CookieContentSecurity::Signed, extension).await;
        let mut browser = Browser { app: &app, cookie: None };
        for (path, visits) in [("/visit", "1"), ("/visit", "2"), ("/peek", "2"), ("/peek", last)] {
            assert_eq!(browser.get(path).await.unwrap(), visits, "{path}");
            server.clock().advance(half + std::time::Duration::from_secs(2));
        }
    }
}

#[actix_web::test]
async fn a_session_that_the_server_has_lost_begins_anew() {
    let mut server = EmbeddedServer::start();
    let app = app(server.address(), CookieContentSecurity::Private, TtlExtensionPolicy::OnStateChanges).await;
    let mut browser = Browser { app: &app, cookie: None };
    browser.get("/visit").await.unwrap();
    browser.get("/visit").await.unwrap();
    server.restart();
    assert_eq!(browser.get("/visit").await.unwrap(), "1");
    assert_eq!(browser.get("/visit").await.unwrap(), "2");
}

#[actix_web::test]
async fn an_application_answers_by_an_error_while_its_server_is_lost() {
    let mut server = EmbeddedServer::start();
    let app = app(server.address(), CookieContentSecurity::Private, TtlExtensionPolicy::OnStateChanges).await;
    let mut browser = Browser { app: &app, cookie: None };
    browser.get("/visit").await.unwrap();
    server.stop();
    let error = browser.get("/visit").await.unwrap_err();
    assert_eq!(error.as_response_error().status_code(), StatusCode::INTERNAL_SERVER_ERROR);
}
