//! What can be wrong with a key and with the text of a server.

/// Why some bytes are no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyProblem {
    /// There is no byte in it.
    #[error("it is empty")]
    Empty,
    /// It is longer than [`Key::MAX`](crate::Key::MAX).
    #[error("it has {length} bytes and 250 are allowed; hash the longer part of it")]
    TooLong {
        /// How many bytes it has.
        length: usize,
    },
    /// It has to be sent in base64, which is a third longer, and that is longer than [`Key::MAX`](crate::Key::MAX).
    #[error("it has {length} bytes, and 186 are allowed with blanks or control bytes among them; hash a part of it")]
    TooLongEncoded {
        /// How many bytes it has, with its prefix.
        length: usize,
    },
    /// It holds a blank, a control character or DEL.
    #[error("byte 0x{byte:02x} at position {position} is not allowed; encode keys that may hold blanks or line ends")]
    Forbidden {
        /// The byte.
        byte: u8,
        /// Where it stands, counted from 0.
        position: usize,
    },
    /// It is `noreply`, in a classic command that fetches it: there a server may read it as the option. Other commands
    /// accept it.
    #[error("a `get` cannot ask for it, since it may be taken for the option; use another key, or a prefix")]
    Option,
}

/// Why a user and a password cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsProblem {
    /// There is no user.
    #[error("the user is empty; write user:password")]
    NoUser,
    /// There is no password.
    #[error("the password is empty; write user:password")]
    NoPassword,
    /// The user holds a blank, a control byte, DEL or a `:`.
    #[error("the user must not contain a blank, a control byte or a `:`, where the server takes it to end")]
    User,
    /// The password holds NUL, CR or LF.
    #[error(
        "the password must not contain a line end or a zero byte; remove the line end of a file that it was read from"
    )]
    Password,
    /// They are longer than the 16 KiB that memcached reads at once, with a blank and a line end.
    #[error("user and password have {length} bytes, and memcached reads at most {} of them", Self::MAX)]
    TooLong {
        /// How many bytes both have.
        length: usize,
    },
    /// In a URI, an `@` or a `%` stands for itself.
    #[error("an `@` in a user or password is written %40 in a URI, and a `%` is written %25")]
    NotEncoded,
}

impl CredentialsProblem {
    /// How many bytes user and password have at most.
    pub(crate) const MAX: usize = 16 * 1024 - 3;
}

/// Why some text names no server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UriProblem {
    /// The scheme is not one of ours.
    #[error(
        "unknown scheme; use memcached://host:port, memcacheds://host:port, memcached+unix:///path, or a bare host:port"
    )]
    Scheme,
    /// There is no host.
    #[error("it has no host; write memcached://host:port")]
    NoHost,
    /// The host is no name and no IP address.
    #[error("the host is neither a name nor an IP address")]
    Host,
    /// There is a blank or a control character in it.
    #[error(
        "a blank or a control character stands in it; write %20 for a blank in a password, or in the path of a Unix socket"
    )]
    Blank,
    /// It was given before.
    #[error("the same server was given before; give it a weight instead, cache1:11211?weight=2, or another name")]
    Repeated,
    /// Another server has the same name, by which a journal knows it.
    #[error(
        "another server has the same name, and a journal knows servers by their names; give it another one, cache1:11211?name=a"
    )]
    NameTaken,
    /// There are several servers in one text.
    #[error("it names several servers; give them one by one")]
    List,
    /// There is a number after the port.
    #[error("nothing may follow the port but options; a weight is written cache1:11211?weight=2")]
    BehindPort,
    /// An IPv6 address stands without brackets.
    #[error("an IPv6 address needs brackets: [::1] or [::1]:11211")]
    Brackets,
    /// The port is not a number from 1 to 65535.
    #[error("the port must be a number from 1 to 65535")]
    Port,
    /// The URI of a Unix socket has no path, or has a host.
    #[error("a Unix socket needs an absolute path: memcached+unix:///run/memcached.sock")]
    SocketPath,
    /// There is a path after the host.
    #[error("nothing may follow host and port; a Unix socket is memcached+unix:///path")]
    Path,
    /// The user or the password cannot be sent.
    #[error("{0}")]
    Credentials(CredentialsProblem),
    /// There is an option of another name.
    #[error(
        "unknown option behind the `?`; known are weight, name, tls_name, timeout, connect_timeout and connections"
    )]
    Option,
    /// An option stands there twice.
    #[error("an option stands there twice")]
    Twice,
    /// The weight is no number, or no sensible one.
    #[error("the weight must be a whole number from 1 to 1000")]
    Weight,
    /// A timeout is no time, or no sensible one.
    #[error("a timeout must be a whole number of ms or s, like 250ms or 2s, more than 0 and at most 3600s")]
    Timeout,
    /// The number of connections is no number, or out of range.
    #[error("the connections must be a whole number from 1 to 65535")]
    Connections,
    /// The name is empty, or holds something else than letters, digits and the like.
    #[error("the name must be made of visible ASCII characters")]
    Name,
    /// There is a fragment.
    #[error("nothing may follow a `#`")]
    Fragment,
    /// It asks for TLS, which this program was built without.
    #[error("TLS needs the feature `tls` of the crate")]
    Tls,
    /// The name that its certificate must have is no host name and no IP address, or it has no TLS.
    #[error("tls_name must be a host name or an IP address, of a server that is written memcacheds://host:port")]
    TlsName,
    /// It is malformed in another way.
    #[error("it is not a valid URI; use memcached://host:port")]
    Malformed,
}

/// Why the version of an item cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum CasProblem {
    /// A store has used it already.
    #[error("its version was used by the store before; refresh it, or fetch the item again")]
    Spent,
    /// It is 0, which is no version. A server that was started with `-C` has no versions: it returns 0 for each item,
    /// and refuses every `cas`. So it has no locks and no leases, either.
    #[error(
        "0 is the version of no item: the server numbers none (it runs with -C) and refuses every cas; start it without -C, \
            or use set"
    )]
    Disabled,
    /// The change would not look at the version.
    #[error("it was fetched with its version, which only a set compares; fetch it without one")]
    Unsupported,
}
