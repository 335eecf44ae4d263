//! The user and the password that a server asks for.

use std::fmt;
use std::sync::Arc;

use percent_encoding::percent_decode_str;

use crate::error::{CredentialsProblem, Error, FailedRequest};

/// A user and a password for memcached's ASCII authentication (`-Y`).
///
/// They are checked when they are made, so that whatever is sent can be read by the server as a user and a password, and
/// as nothing else. They are never shown: `Debug` shows `***`, and no error, event or address contains them.
///
/// The guide [credentials](crate::guide::credentials) says how a client uses them.
///
/// ```
/// use memcached2_proto::{Credentials, Options};
///
/// let credentials = Credentials::new("web", "s3cret")?;
/// assert_eq!(format!("{credentials:?}"), "Credentials(***)");
/// let options = Options::default().credentials(credentials);
/// # Ok::<(), memcached2_proto::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Credentials {
    /// User, blank, password: as they are sent.
    token: Arc<[u8]>,
    /// Where the password begins.
    password_at: usize,
}

impl Credentials {
    /// How many bytes user and password have at most: with the blank between them and the line end behind them they fill
    /// the 16 KiB that memcached reads at once. The file of a server has no longer pair than 255 bytes.
    pub const MAX: usize = CredentialsProblem::MAX;

    /// A user and a password, any bytes but these: the user holds no blank, control byte, DEL or `:`, which ends a user in
    /// the file of the server; the password holds no NUL, CR or LF. Neither is empty.
    ///
    /// memcached before 1.6.40 reads a password up to its first blank, so one with a blank is refused there.
    ///
    /// # Errors
    ///
    /// [`Error::Credentials`] says what is wrong with them, and does not show them.
    pub fn new(user: impl AsRef<[u8]>, password: impl AsRef<[u8]>) -> Result<Self, Error> {
        Self::check(user.as_ref(), password.as_ref())
            .map_err(|problem| Error::Credentials { request: FailedRequest::default(), problem })
    }

    fn check(user: &[u8], password: &[u8]) -> Result<Self, CredentialsProblem> {
        if user.is_empty() {
            return Err(CredentialsProblem::NoUser);
        }
        if password.is_empty() {
            return Err(CredentialsProblem::NoPassword);
        }
        if user.iter().any(|byte| matches!(byte, 0..=b' ' | 0x7f | b':')) {
            return Err(CredentialsProblem::User);
        }
        if password.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n')) {
            return Err(CredentialsProblem::Password);
        }
        let length = user.len() + password.len();
        if length > Self::MAX {
            return Err(CredentialsProblem::TooLong { length });
        }
        Ok(Self { token: Arc::from([user, b" ", password].concat()), password_at: user.len() + 1 })
    }

    /// The part of a URI before the `@`: `user:password`, percent-encoded.
    pub(crate) fn from_userinfo(text: &str) -> Result<Self, CredentialsProblem> {
        let is_hex = |digits: Option<&[u8]>| digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let bytes = text.as_bytes();
        let is_encoded = (0..bytes.len()).all(|at| match bytes[at] {
            b'%' => is_hex(bytes.get(at + 1..at + 3)),
            b'@' => false,
            _ => true,
        });
        if !is_encoded {
            return Err(CredentialsProblem::NotEncoded);
        }
        let (user, password) = text.split_once(':').unwrap_or((text, ""));
        let [user, password] = [user, password].map(|part| percent_decode_str(part).collect::<Vec<u8>>());
        Self::check(&user, &password)
    }

    /// The block that is sent.
    pub(crate) fn token(&self) -> &[u8] {
        &self.token
    }

    /// Whether some bytes show the password.
    pub(crate) fn are_shown_by(&self, bytes: &[u8]) -> bool {
        let password = &self.token[self.password_at..];
        bytes.windows(password.len()).any(|window| window == password)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(***)")
    }
}

/// What a provider of credentials may fail with.
pub type ProviderError = Box<dyn std::error::Error + Send + Sync>;

/// Where a client takes its credentials from: always the same ones, or a
/// [provider](crate::Options::credentials_provider). `Debug` does not show them.
#[derive(Clone)]
pub struct CredentialsSource(Source);

#[derive(Clone)]
enum Source {
    Fixed(Credentials),
    Provider(Arc<dyn Fn() -> Result<Credentials, ProviderError> + Send + Sync>),
}

impl CredentialsSource {
    pub(crate) fn provider(provider: impl Fn() -> Result<Credentials, ProviderError> + Send + Sync + 'static) -> Self {
        Self(Source::Provider(Arc::new(provider)))
    }

    /// The credentials for a new connection.
    pub(crate) fn get(&self) -> Result<Credentials, Error> {
        match &self.0 {
            Source::Fixed(credentials) => Ok(credentials.clone()),
            Source::Provider(provider) => provider().map_err(|error| match error.downcast::<Error>() {
                Ok(error) if matches!(*error, Error::Credentials { .. }) => *error,
                Ok(error) => Error::no_credentials(error),
                Err(error) => Error::no_credentials(error),
            }),
        }
    }
}

impl From<Credentials> for CredentialsSource {
    fn from(credentials: Credentials) -> Self {
        Self(Source::Fixed(credentials))
    }
}

impl fmt::Debug for CredentialsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Source::Fixed(_) => "CredentialsSource(***)",
            Source::Provider(_) => "CredentialsSource(provider)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_that_a_server_cannot_read_are_refused() {
        use CredentialsProblem::{NoPassword, NoUser, Password, TooLong, User};
        let long = "p".repeat(Credentials::MAX);
        for (user, password, problem) in [
            (&b""[..], &b"p"[..], NoUser),
            (b"u", b"", NoPassword),
            (b"two words", b"p", User),
            (b"a\r\nflush_all", b"p", User),
            (b"a\nb", b"p", User),
            (b"a\0", b"p", User),
            (b"a\tb", b"p", User),
            (b"a\x7f", b"p", User),
            (b"a:b", b"p", User),
            (b"u", b"p\r\nflush_all", Password),
            (b"u", b"p\n", Password),
            (b"u", b"p\0q", Password),
            (b"u", long.as_bytes(), TooLong { length: Credentials::MAX + 1 }),
        ] {
            let error = Credentials::new(user, password).unwrap_err();
            assert!(matches!(&error, Error::Credentials { problem: is, .. } if *is == problem), "{error:?}");
            assert!(!format!("{error:?} {error}").contains("flush_all"), "{error}");
        }
        for (user, password) in [(&b"u"[..], &long.as_bytes()[1..]), (b"\xe4", b"two words:\t\xff@ ")] {
            assert_eq!(Credentials::new(user, password).unwrap().token(), [user, b" ", password].concat());
        }
    }

    #[test]
    fn the_userinfo_of_a_uri_is_decoded() {
        for (text, token) in [
            ("web:s3cret", &b"web s3cret"[..]),
            ("web:a:b", b"web a:b"),
            ("w%65b:p%40ss%3Aw%20rd%25", b"web p@ss:w rd%"),
            ("\u{e4}:%E4", b"\xc3\xa4 \xe4"),
        ] {
            assert_eq!(Credentials::from_userinfo(text).unwrap().token(), token);
        }
        for (text, problem) in [
            ("", CredentialsProblem::NoUser),
            (":p", CredentialsProblem::NoUser),
            ("web", CredentialsProblem::NoPassword),
            ("web:", CredentialsProblem::NoPassword),
            ("a%3Ab:p", CredentialsProblem::User),
            ("a%0D%0Ab:p", CredentialsProblem::User),
            ("a%20b:p", CredentialsProblem::User),
            ("a:p%0aq", CredentialsProblem::Password),
            ("a:p%", CredentialsProblem::NotEncoded),
            ("a:p%4", CredentialsProblem::NotEncoded),
            ("a:50%off", CredentialsProblem::NotEncoded),
            ("a:p@q", CredentialsProblem::NotEncoded),
        ] {
            assert_eq!(Credentials::from_userinfo(text), Err(problem), "{text}");
        }
    }

    #[test]
    fn a_provider_is_asked_each_time_and_its_failure_is_the_source_of_the_error() {
        use std::error::Error as _;
        use std::sync::atomic::{AtomicUsize, Ordering};

        let asked = AtomicUsize::new(0);
        let source = CredentialsSource::provider(move || match asked.fetch_add(1, Ordering::Relaxed) {
            2 => Ok(Credentials::new("two words", "p")?),
            3 => Err("the vault is closed".into()),
            number => Ok(Credentials::new("web", number.to_string())?),
        });
        assert_eq!(source.get().unwrap().token(), b"web 0");
        assert_eq!(source.get().unwrap().token(), b"web 1");
        assert!(matches!(source.get(), Err(Error::Credentials { problem: CredentialsProblem::User, .. })));
        let error = source.get().unwrap_err();
        assert!(error.to_string().contains("the vault is closed"), "{error}");
        assert!(error.source().is_some_and(|source| source.to_string() == "the vault is closed"));
    }

    #[test]
    fn credentials_are_not_shown() {
        let credentials = Credentials::new("web", "s3cret").unwrap();
        for shown in [
            format!("{credentials:?}"),
            format!("{:?}", CredentialsSource::from(credentials.clone())),
            format!("{:#?}", crate::Options::default().credentials(credentials.clone())),
        ] {
            assert!(shown.contains("***") && !shown.contains("web") && !shown.contains("s3cret"), "{shown}");
        }
        assert!(credentials.are_shown_by(b"ERROR web s3cret") && !credentials.are_shown_by(b"ERROR"));
    }
}
