//! Fetches a page several times through a cache of HTTP. Its responses are in memcached.
//!
//! ```text
//! cargo run -p memcached2-http-cache --example fetch
//! ```
//!
//! The memcached server is one within this process. The web server is a function: a program has http-cache-reqwest or another
//! middleware, which brings its own `Middleware`.
#![expect(clippy::print_stdout, reason = "an example prints")]

use http::{HeaderMap, Request, request};
use http_cache::{CacheMode, HttpCache, HttpCacheOptions, HttpResponse, HttpVersion, Middleware, Result, Url, XCACHE};
use memcached2_http_cache::MemcachedManager;
use memcached2_http_cache::memcached2_tokio::Client;
use memcached2_testkit::EmbeddedServer;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let server = EmbeddedServer::start();
    let client = Client::new([server.address()])?;
    let manager = MemcachedManager::new(&client)?;
    let cache = HttpCache { mode: CacheMode::Default, manager, options: HttpCacheOptions::default() };

    for method in ["GET", "GET", "POST", "GET"] {
        let request = Request::builder().method(method).uri("https://example.com/page").body(())?;
        let response = cache.run(Fetch(request.into_parts().0)).await?;
        let status = response.headers.get(XCACHE).map_or("", |status| status);
        println!("{method}: {} bytes, {status}", response.body.len());
    }
    Ok(())
}

/// One request, and how it is sent.
struct Fetch(request::Parts);

impl Middleware for Fetch {
    fn is_method_get_head(&self) -> bool {
        matches!(self.0.method.as_str(), "GET" | "HEAD")
    }

    fn update_headers(&mut self, parts: &request::Parts) -> Result<()> {
        self.0.headers.clone_from(&parts.headers);
        Ok(())
    }

    fn force_no_cache(&mut self) -> Result<()> {
        self.0.headers.insert("cache-control", "no-cache".parse()?);
        Ok(())
    }

    fn parts(&self) -> Result<request::Parts> {
        Ok(self.0.clone())
    }

    fn url(&self) -> Result<Url> {
        Ok(self.0.uri.to_string().parse()?)
    }

    async fn remote_fetch(&mut self) -> Result<HttpResponse> {
        println!("the web server is asked: {} {}", self.0.method, self.0.uri);
        let headers = HeaderMap::from_iter([("cache-control".parse()?, "max-age=60".parse()?)]);
        Ok(HttpResponse {
            body: b"<html>".to_vec(),
            headers: (&headers).into(),
            status: 200,
            url: self.url()?,
            version: HttpVersion::Http11,
            metadata: None,
        })
    }
}
