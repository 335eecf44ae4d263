//! The client as a service of tower.

use std::task::{Context, Poll};

use tower_service::Service;

use crate::{Client, Error};

/// A service whose requests are closures from a client to a call, so that the layers of tower work on it: a limit of concurrent calls,
/// retries, hedging and the like. With the feature `tower`.
///
/// A closure gets a clone of the client, which is cheap, and may make any call or several. It owns its keys and values, unlike an
/// [`Operation`](crate::Operation), which borrows them. Layers that send a request again need a closure that is `Clone`: it is
/// if what it has captured is.
///
/// The service is always ready, since the client has [limits](crate::Limits) of its own. Dropping the future, as tower's timeout
/// does, cancels the call. Every call has a deadline anyway ([`Client::with_timeout`]), whose error says whether the request may
/// have taken effect: tower's timeout is for several calls together, and for what waits in other layers.
///
/// A policy for retries asks [`Error::is_safe_to_retry`]. The retries belong inside of a timeout, whose error is another one; that of
/// tower runs on Tokio alone:
///
/// ```
/// use std::future::{Ready, ready};
/// use std::time::Duration;
/// use memcached2_async_std::{Client, Error};
/// use tower::{ServiceBuilder, ServiceExt as _, retry::{Policy, RetryLayer}};
///
/// /// How many retries are left.
/// #[derive(Clone)]
/// struct Retries(u32);
///
/// impl<F: Clone, T> Policy<F, T, Error> for Retries {
///     type Future = Ready<()>;
///
///     fn retry(&mut self, _: &mut F, result: &mut Result<T, Error>) -> Option<Self::Future> {
///         let is_due = result.as_ref().is_err_and(Error::is_safe_to_retry) && self.0 > 0;
///         self.0 = self.0.saturating_sub(1);
///         // A real one waits a little.
///         is_due.then(|| ready(()))
///     }
///
///     fn clone_request(&mut self, request: &F) -> Option<F> {
///         Some(request.clone())
///     }
/// }
///
/// # fn main() -> Result<(), tower::BoxError> { async_std::task::block_on(async {
/// # let server = memcached2_testkit::EmbeddedServer::start();
/// let client = Client::new([server.address()])?;
/// let service = ServiceBuilder::new()
///     .concurrency_limit(100)
///     .layer(RetryLayer::new(Retries(2)))
///     .service(client);
///
/// let key = "greeting".to_owned();
/// let greeting = service
///     .oneshot(move |client: Client| {
///         let key = key.clone();
///         async move {
///             client.set(&key, "hello", Duration::from_secs(60)).await?;
///             client.get(&key).await
///         }
///     })
///     .await?;
/// assert!(greeting.is_some_and(|value| value == "hello"));
/// # Ok(()) }) }
/// ```
#[cfg_attr(docsrs, doc(cfg(feature = "tower")))]
impl<F, C, T> Service<F> for Client
where
    F: FnOnce(Self) -> C,
    C: Future<Output = Result<T, Error>>,
{
    type Response = T;
    type Error = Error;
    type Future = C;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: F) -> C {
        request(self.clone())
    }
}
