//! The builder, and configurations as data.
#![allow(clippy::unwrap_used, reason = "a panic is the failure of the test")]

use memcached2_opendal::{MEMCACHED2_SCHEME, Memcached2, Memcached2Config, register_memcached2_service};
use memcached2_testkit::EmbeddedServer;
use memcached2_tokio::Client;
use opendal::{Configurator, ErrorKind, Operator, OperatorRegistry, OperatorUri};

fn from_uri(uri: &str) -> Memcached2Config {
    Memcached2Config::from_uri(&OperatorUri::new(uri, []).unwrap()).unwrap()
}

#[test]
fn a_uri_has_the_server_the_root_and_options() {
    let config = from_uri("memcached2://web:s3%20cret@cache1:11212/a/b?default_ttl=1440h");
    assert_eq!(config.endpoint.as_deref(), Some("cache1:11212"));
    assert_eq!(config.root.as_deref(), Some("a/b"));
    assert_eq!((config.username.as_deref(), config.password.as_deref()), (Some("web"), Some("s3 cret")));
    assert_eq!(config.default_ttl.unwrap().as_secs(), 60 * 24 * 60 * 60);
    assert!(!format!("{config:?}").contains("cret"), "{config:?}");
}

#[test]
fn a_uri_has_several_servers() {
    let config = from_uri("memcached2:///a?endpoint=cache1,memcached://u:s3cret@cache2");
    assert_eq!(config.endpoint.as_deref(), Some("cache1,memcached://u:s3cret@cache2"));
    assert_eq!(config.root.as_deref(), Some("a"));
    let shown = format!("{config:?}");
    assert!(shown.contains(r#"["cache1:11211", "cache2:11211"]"#) && !shown.contains("s3cret"), "{shown}");
}

#[tokio::test]
async fn an_operator_is_made_from_a_uri() {
    let server = EmbeddedServer::start();
    register_memcached2_service(OperatorRegistry::get());
    let operator = Operator::from_uri(&*format!("memcached2://{}/builds", server.address())).unwrap();
    operator.write("file", "content").await.unwrap();
    assert_eq!(operator.read("file").await.unwrap().to_vec(), b"content");
    let info = operator.info();
    assert_eq!((info.scheme(), &*info.root(), &*info.name()), (MEMCACHED2_SCHEME, "/builds/", &*server.address()));
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket_is_an_endpoint() {
    let server = EmbeddedServer::with().unix_socket().start();
    for address in [server.address(), server.address().replace("memcached+unix", "unix")] {
        let operator = Operator::new(Memcached2::default().endpoint(&address)).unwrap();
        operator.write("file", "content").await.unwrap();
        assert_eq!(operator.read("file").await.unwrap().to_vec(), b"content");
    }
}

#[tokio::test]
async fn what_cannot_be_built_is_an_invalid_configuration() {
    let client = Client::new(["cache1"]).unwrap();
    let endpoint = || Memcached2::default().endpoint("cache1");
    let wrong = [
        Memcached2::default(),
        Memcached2::default().endpoint("http://cache1"),
        Memcached2::default().endpoint("cache1,,cache2"),
        endpoint().username("web"),
        endpoint().password("s3cret"),
        endpoint().username("we b").password("s3cret"),
        Memcached2::new(client).endpoint("cache2"),
        Memcached2Config::from_iter([
            ("endpoint".to_owned(), "cache1".to_owned()),
            ("default_ttl".to_owned(), "-1s".to_owned()),
        ])
        .unwrap()
        .into_builder(),
    ];
    for builder in wrong {
        let text = format!("{builder:?}");
        let error = Operator::new(builder).map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConfigInvalid, "{text}: {error}");
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
}
