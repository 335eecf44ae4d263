//! What a failure of TLS means, and what can be done.

use rustls::{AlertDescription, CertificateError, Error};

/// A server that does not answer the first message.
pub(crate) const LATE: &str =
    "the server has not answered in time; does it use TLS on this port? If not, write memcached:// for memcacheds://";

/// A failure of the session with the server that has to have this name.
pub(super) fn explain(error: &Error, name: &str) -> String {
    match error {
        Error::InvalidMessage(_) => {
            format!(
                "the server does not use TLS on this port: write memcached:// for memcacheds://, or another port ({error})"
            )
        }
        Error::InvalidCertificate(problem) => certificate(problem, name),
        Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::HandshakeFailure,
        ) => format!("the server refuses this client: it wants a certificate that it trusts, by identity ({error})"),
        error => error.to_string(),
    }
}

fn certificate(problem: &CertificateError, name: &str) -> String {
    match problem {
        CertificateError::UnknownIssuer => {
            "the server's certificate is of an authority that is not trusted here: give that one's certificate by \
             add_root_certificate (UnknownIssuer)"
                .to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => format!(
            "the server's certificate is not for {name}: if that is the right server, give the name that the certificate is \
             for by tls_server_name or ?tls_name= ({problem})"
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("the server's certificate has expired: renew it, or set the clock of this machine ({problem})")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("the server's certificate is not valid yet: set the clock of this machine ({problem})")
        }
        problem => format!("the server's certificate is not accepted: {problem}"),
    }
}
