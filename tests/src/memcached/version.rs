use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use super::{Memcached, binary};

/// The three numbers of a version of memcached: 1.6.18 is `(1, 6, 18)`.
pub type MemcachedVersion = (u32, u32, u32);

impl Memcached {
    /// Returns the version of the binary, as `memcached -V` prints it; none if that cannot be read.
    ///
    /// The binary is run once.
    #[must_use]
    pub fn version() -> Option<MemcachedVersion> {
        static VERSION: LazyLock<Option<MemcachedVersion>> = LazyLock::new(|| {
            let output = Command::new(binary()).arg("-V").stdin(Stdio::null()).output().ok()?;
            parse(std::str::from_utf8(&output.stdout).ok()?)
        });
        *VERSION
    }

    /// Returns whether the binary is older than a version. If it is, a line on the standard error names what is
    /// skipped: `skipped: gat needs memcached 1.5.3, this is 1.4.39`.
    ///
    /// A binary whose version cannot be read counts as the newest.
    #[must_use]
    pub fn is_too_old_for(what: &str, needed: MemcachedVersion) -> bool {
        match Self::version() {
            Some(version) if version < needed => {
                skip(&format!("{what} needs memcached {}, this is {}", dotted(needed), dotted(version)));
                true
            }
            _ => false,
        }
    }

    /// Returns whether the binary was built without TLS. If it was, a line on the standard error names what is skipped.
    #[must_use]
    pub fn has_no_tls_for(what: &str) -> bool {
        static HAS_TLS: LazyLock<bool> = LazyLock::new(|| {
            let output = Command::new(binary()).arg("-h").stdin(Stdio::null()).output();
            output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("ssl_chain_cert"))
        });
        if !*HAS_TLS {
            skip(&format!("{what} needs a memcached with TLS (./configure --enable-tls)"));
        }
        !*HAS_TLS
    }

    /// Returns whether the binary is newer than a version. If it is, a line on the standard error names what is
    /// skipped.
    #[must_use]
    pub fn is_too_new_for(what: &str, last: MemcachedVersion) -> bool {
        let version = Self::version();
        let is_newer = version.is_none_or(|version| version > last);
        if is_newer {
            let found = version.map_or_else(|| "of an unknown version".to_owned(), dotted);
            skip(&format!("{what} needs memcached {} or older, this is {found}", dotted(last)));
        }
        is_newer
    }
}

fn skip(why: &str) {
    // Unlike `eprintln!`, this is shown for tests that pass, too; in one write, since other tests print at the same time.
    let _ = std::io::stderr().write_all(format!("skipped: {why}\n").as_bytes());
}

fn dotted((major, minor, patch): MemcachedVersion) -> String {
    format!("{major}.{minor}.{patch}")
}

/// Reads `memcached 1.6.18`, and what builds of others append: `memcached 1.4.5_4_gaa7839e`.
fn parse(text: &str) -> Option<MemcachedVersion> {
    let mut numbers = text.trim().strip_prefix("memcached ")?.splitn(3, '.').map(|part| {
        let end = part.find(|character: char| !character.is_ascii_digit()).unwrap_or(part.len());
        part[..end].parse().ok()
    });
    Some((numbers.next()??, numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_if_it_has_three_numbers() {
        for (text, version) in [
            ("memcached 1.6.18\n", Some((1, 6, 18))),
            ("memcached 1.4.5_4_gaa7839e\n", Some((1, 4, 5))),
            ("memcached 1.6.12-elasticache\n", Some((1, 6, 12))),
            ("memcached 1.6\n", None),
            ("memcached UNKNOWN\n", None),
            ("1.6.18\n", None),
            ("", None),
        ] {
            assert_eq!(parse(text), version, "{text:?}");
        }
    }

    #[test]
    fn versions_compare_by_number() {
        let version = Memcached::version().expect("memcached tells its version");
        assert!(!Memcached::is_too_old_for("a test of itself", version));
        assert!(!Memcached::is_too_new_for("a test of itself", version));
        assert!((1, 6, 9) < (1, 6, 10));
    }
}
