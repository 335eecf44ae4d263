//! The manager in a cache of HTTP, seen by a program that fetches pages.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is the failure of the test")]

use http::{HeaderMap, HeaderValue, Request, StatusCode, request};
use http_cache::{
    CacheMode, HttpCache, HttpCacheOptions, HttpResponse, HttpVersion, Middleware, Result, Url, XCACHE, XCACHELOOKUP,
};
use memcached2_http_cache::MemcachedManager;
use memcached2_http_cache::memcached2_tokio::{Client, Error};
use memcached2_testkit::EmbeddedServer;

const FRESH: &str = "max-age=60";

/// A request, and the web server that it goes to: its pages have a version, and may be cached in this way.
struct Fetch {
    request: request::Parts,
    cache_control: &'static str,
}

impl Middleware for Fetch {
    fn is_method_get_head(&self) -> bool {
        self.request.method == "GET" || self.request.method == "HEAD"
    }

    fn update_headers(&mut self, parts: &request::Parts) -> Result<()> {
        self.request.headers.clone_from(&parts.headers);
        Ok(())
    }

    fn force_no_cache(&mut self) -> Result<()> {
        self.request.headers.insert("cache-control", HeaderValue::from_static("no-cache"));
        Ok(())
    }

    fn parts(&self) -> Result<request::Parts> {
        Ok(self.request.clone())
    }

    fn url(&self) -> Result<Url> {
        Ok(self.request.uri.to_string().parse()?)
    }

    async fn remote_fetch(&mut self) -> Result<HttpResponse> {
        let is_known = self.request.headers.get("if-none-match").is_some_and(|tag| tag == "\"1\"");
        let (status, body) = if is_known { (StatusCode::NOT_MODIFIED, "") } else { (StatusCode::OK, "a page") };
        let mut headers = HeaderMap::new();
        headers.insert("cache-control", HeaderValue::from_static(self.cache_control));
        headers.insert("etag", HeaderValue::from_static("\"1\""));
        Ok(HttpResponse {
            body: body.into(),
            headers: (&headers).into(),
            status: status.as_u16(),
            url: self.url()?,
            version: HttpVersion::Http11,
            metadata: None,
        })
    }
}

/// An instance of a program.
struct Program(HttpCache<MemcachedManager>);

impl Program {
    fn on(server: &EmbeddedServer, change: fn(MemcachedManager) -> MemcachedManager) -> Self {
        let manager = MemcachedManager::new(&Client::new([server.address()]).unwrap()).unwrap();
        Self(HttpCache { mode: CacheMode::Default, manager: change(manager), options: HttpCacheOptions::default() })
    }

    /// Whether the page was found in the cache, and whether it was used without its text from the web server.
    async fn ask(&self, method: &str, cache_control: &'static str) -> Result<(bool, bool)> {
        let request = Request::builder().method(method).uri("https://example.com/page").body(()).unwrap();
        let response = self.0.run(Fetch { request: request.into_parts().0, cache_control }).await?;
        assert_eq!((response.status, &response.body[..]), (200, &b"a page"[..]));
        let is_hit = |name| response.headers.get(name).is_some_and(|value| value == "HIT");
        Ok((is_hit(XCACHELOOKUP), is_hit(XCACHE)))
    }
}

#[tokio::test]
async fn a_page_is_fetched_once_for_all_instances() {
    let server = EmbeddedServer::start();
    let (first, second) = (Program::on(&server, |manager| manager), Program::on(&server, |manager| manager));
    assert_eq!(first.ask("GET", FRESH).await.unwrap(), (false, false));
    assert_eq!(first.ask("GET", FRESH).await.unwrap(), (true, true));
    assert_eq!(second.ask("GET", FRESH).await.unwrap(), (true, true));
}

#[tokio::test]
async fn a_page_is_fetched_again_after_it_was_changed_or_the_cache_was_cleared() {
    let server = EmbeddedServer::start();
    let program = Program::on(&server, |manager| manager);
    program.ask("GET", FRESH).await.unwrap();
    program.ask("POST", FRESH).await.unwrap();
    assert_eq!(program.ask("GET", FRESH).await.unwrap(), (false, false));
    program.0.manager.clear().await.unwrap();
    assert_eq!(program.ask("GET", FRESH).await.unwrap(), (false, false));
}

#[tokio::test]
async fn a_page_that_is_not_fresh_is_revalidated() {
    let server = EmbeddedServer::start();
    let program = Program::on(&server, |manager| manager);
    assert_eq!(program.ask("GET", "max-age=0").await.unwrap(), (false, false));
    // Its text is that of the cache.
    assert_eq!(program.ask("GET", "max-age=0").await.unwrap(), (true, true));
}

#[tokio::test]
async fn a_lost_server_fails_a_request_unless_that_is_a_miss() {
    let mut server = EmbeddedServer::start();
    let (strict, lax) =
        (Program::on(&server, |manager| manager), Program::on(&server, MemcachedManager::miss_on_error));
    strict.ask("GET", FRESH).await.unwrap();
    server.stop();
    let error = strict.ask("GET", FRESH).await.unwrap_err();
    assert!(error.downcast_ref().is_some_and(Error::counts_as_miss), "{error:?}");
    for method in ["GET", "POST", "GET"] {
        assert_eq!(lax.ask(method, FRESH).await.unwrap(), (false, false));
    }
}

#[tokio::test]
async fn a_private_page_is_not_stored() {
    let server = EmbeddedServer::start();
    let program = Program::on(&server, |manager| manager);
    for _ in 0..2 {
        assert_eq!(program.ask("GET", "private, max-age=60").await.unwrap(), (false, false));
    }
}
