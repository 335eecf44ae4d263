//! TLS without a socket: the server is one of rustls, in memory.

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection};

use crate::command::{Get, Protocol, Store};
use crate::credentials::Credentials;
use crate::error::Error;
use crate::opening::{Endpoint, Opened, Opening, Step};
use crate::options::Options;
use crate::time::{Instant, Now};
use crate::tls::Certificate;

const META: &[u8] = b"NF O0000\r\nMN\r\n";

fn now() -> Now {
    Now::fixed(Instant::ZERO + Duration::from_secs(60), SystemTime::UNIX_EPOCH)
}

/// Options that trust the server with this configuration, whose certificate is for `name`.
fn parties(name: &str) -> (Options, Arc<ServerConfig>) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap();
    let options = Options::default()
        .tls_built_in_root_certs(false)
        .add_root_certificate(Certificate::from_der(authority.der().to_vec()));
    (options, Arc::new(config))
}

/// A client that connects, and the server.
struct Trial {
    opening: Opening,
    server: ServerConnection,
    /// The plaintext that the server has got, a piece for each record.
    heard: Vec<Vec<u8>>,
}

impl Trial {
    fn new(endpoint: &Arc<Endpoint>, config: &Arc<ServerConfig>) -> Self {
        let mut opening = Opening::new(endpoint, now(), None);
        opening.connected(Ok(()), now().monotonic);
        Self { opening, server: ServerConnection::new(Arc::clone(config)).unwrap(), heard: Vec::new() }
    }

    /// The client writes to the server.
    fn write(&mut self) {
        let mut written = Vec::new();
        let write = |slices: &[std::io::IoSlice<'_>]| {
            slices.iter().for_each(|slice| written.extend_from_slice(slice));
            Ok::<_, Error>(slices.iter().map(|slice| slice.len()).sum())
        };
        self.opening.write_with(write).unwrap();
        hear(&mut self.server, &written, &mut self.heard);
        for (request, answer) in [
            (&b"mn    \r\n"[..], META),
            (b"version\r\n", b"CLIENT_ERROR unauthenticated\r\n"),
            (b"\r\nweb s3cret\r\n", b"STORED\r\n"),
        ] {
            if self.heard.concat().ends_with(request) {
                self.heard.clear();
                self.server.writer().write_all(answer).unwrap();
            }
        }
    }

    /// What the server has to say.
    fn said(&mut self) -> Vec<u8> {
        let mut said = Vec::new();
        while self.server.wants_write() {
            self.server.write_tls(&mut said).unwrap();
        }
        said
    }

    fn read(&mut self, bytes: &[u8]) {
        self.opening.read_buf()[..bytes.len()].copy_from_slice(bytes);
        self.opening.advance_read(bytes.len(), now().monotonic);
    }

    /// Opens the connection, with the server's bytes in pieces of this size. `None`: it was closed after `cut` of them.
    fn open(&mut self, piece: usize, cut: usize) -> Result<Option<()>, Error> {
        let mut left = cut;
        while self.opening.step()? == Step::Exchange {
            self.write();
            let said = self.said();
            for piece in said.chunks(piece) {
                if self.opening.step()? != Step::Exchange {
                    break;
                }
                let piece = &piece[..piece.len().min(left)];
                left -= piece.len();
                match piece.len() {
                    0 => self.opening.advance_read(0, now().monotonic),
                    _ => self.read(piece),
                }
                if left == 0 {
                    self.opening.advance_read(0, now().monotonic);
                    return self.opening.step().map(|_| None);
                }
            }
        }
        Ok(Some(()))
    }
}

/// Takes ciphertext, record by record.
fn hear(server: &mut ServerConnection, mut bytes: &[u8], heard: &mut Vec<Vec<u8>>) {
    while !bytes.is_empty() {
        let length = 5 + usize::from(u16::from_be_bytes([bytes[3], bytes[4]]));
        let (mut record, rest) = bytes.split_at(length);
        while !record.is_empty() {
            server.read_tls(&mut record).unwrap();
            server.process_new_packets().unwrap();
        }
        let mut plain = vec![0; 1 << 16];
        if let Ok(n @ 1..) = server.reader().read(&mut plain) {
            plain.truncate(n);
            heard.push(plain);
        }
        bytes = rest;
    }
}

fn endpoint(options: &Options) -> Arc<Endpoint> {
    Arc::new(Endpoint::new(0, &"memcacheds://127.0.0.1".parse().unwrap(), options))
}

#[test]
fn a_connection_opens_however_the_bytes_are_cut_and_the_second_one_is_resumed() {
    let (options, config) = parties("127.0.0.1");
    let endpoint = endpoint(&options);
    for piece in [1, 2, 3, 100, 16 * 1024] {
        let mut trial = Trial::new(&endpoint, &config);
        assert!(trial.opening.is_connected());
        assert_eq!(trial.open(piece, usize::MAX), Ok(Some(())));
        let opened = trial.opening.finish();
        assert_eq!(opened.connection.protocol(), Protocol::Meta);
        assert_eq!(opened.tls.unwrap().is_resumed(), piece > 1);
    }
}

#[test]
fn credentials_are_sent_by_tls_however_the_bytes_are_cut() {
    let (options, config) = parties("127.0.0.1");
    let endpoint = endpoint(&options.credentials(Credentials::new("web", "s3cret").unwrap()));
    for piece in [1, 2, 3, 100, 16 * 1024] {
        let mut trial = Trial::new(&endpoint, &config);
        assert_eq!(trial.open(piece, usize::MAX), Ok(Some(())));
        let connection = trial.opening.finish().connection;
        assert!(connection.is_idle() && connection.protocol() == Protocol::Meta);
    }
}

#[test]
fn a_connection_that_is_closed_anywhere_in_between_is_an_error_or_opened_once_more() {
    let (options, config) = parties("127.0.0.1");
    let options = options.tls_sni(false);
    let (mut failed, mut again, mut cut) = (0, 0, 1);
    loop {
        let mut trial = Trial::new(&endpoint(&options), &config);
        match trial.open(16 * 1024, cut) {
            Ok(Some(())) => break,
            Ok(None) => {
                assert!(matches!(trial.opening.step(), Ok(Step::Connect(_))), "cut at {cut}");
                again += 1;
            }
            Err(error) => {
                assert!(matches!(error, Error::Tls { .. }), "cut at {cut}: {error:?}");
                failed += 1;
            }
        }
        cut += 7;
    }
    assert!(failed > 10 && again > 1, "{failed} have failed, {again} were opened once more");
}

#[test]
fn bytes_without_a_request_behind_the_answer_to_the_probe_are_noticed_however_many_there_are() {
    let (options, config) = parties("127.0.0.1");
    // More than are decrypted at once, or fewer.
    for count in [1, 10_000] {
        let mut trial = Trial::new(&endpoint(&options), &config);
        for _ in 0..2 {
            trial.write();
            if !trial.server.is_handshaking() {
                trial.server.writer().write_all(&vec![b'x'; count]).unwrap();
            }
            let said = trial.said();
            trial.read(&said);
        }
        assert_ne!(trial.opening.step(), Ok(Step::Ready), "{count}");
    }
}

#[test]
fn a_server_that_says_nothing_has_until_the_end_of_the_time_to_connect() {
    let (options, config) = parties("127.0.0.1");
    let mut trial = Trial::new(&endpoint(&options), &config);
    trial.write();
    let by = trial.opening.deadline().unwrap();
    assert_eq!(by - now().monotonic, options.connect_timeout);
    assert!(trial.opening.is_silent(by));
    assert!(trial.opening.on_deadline(by));
    assert!(matches!(trial.opening.step(), Err(error) if error.is_timeout()));
}

#[test]
fn a_server_without_tls_is_named_as_such() {
    let (options, config) = parties("127.0.0.1");
    let mut trial = Trial::new(&endpoint(&options), &config);
    trial.write();
    trial.read(b"ERROR\r\n");
    let error = trial.opening.step().unwrap_err().to_string();
    assert!(error.contains("does not use TLS on this port"), "{error}");
}

#[test]
fn a_request_with_a_data_block_begins_a_record_and_so_does_what_follows_it() {
    let (options, config) = parties("127.0.0.1");
    let mut trial = Trial::new(&endpoint(&options), &config);
    trial.open(16 * 1024, usize::MAX).unwrap();
    let Trial { opening, mut server, mut heard } = trial;
    let Opened { mut connection, tls } = opening.finish();
    let mut tls = tls.unwrap();
    let (small, large) = (vec![b'x'; 100], vec![b'y'; 20_000]);
    for value in [&small, &small, &large] {
        connection.submit(&Store::set("a", value).unwrap(), now(), 0).unwrap();
    }
    for key in ["b", "c"] {
        connection.submit(&Get::new(key).unwrap(), now(), 0).unwrap();
    }
    connection.submit(&Store::add("d", &small).unwrap(), now(), 0).unwrap();
    connection.submit(&Get::new("e").unwrap(), now(), 0).unwrap();
    let mut written = Vec::new();
    let write = |slices: &[std::io::IoSlice<'_>]| {
        slices.iter().for_each(|slice| written.extend_from_slice(slice));
        Ok::<_, Error>(slices.iter().map(|slice| slice.len()).sum())
    };
    assert_eq!(tls.write_with(&mut connection, write), Ok(true));
    tls.close();
    let end = |slices: &[std::io::IoSlice<'_>]| {
        written.extend_from_slice(&slices[0]);
        Ok::<_, Error>(slices[0].len())
    };
    assert_eq!(tls.write_with(&mut connection, end), Ok(true));
    hear(&mut server, &written, &mut heard);
    let begins: Vec<_> = heard.iter().map(|record| String::from_utf8_lossy(&record[..5]).into_owned()).collect();
    assert_eq!(begins, ["ms a ", "ms a ", "ms a ", "yyyyy", "mg b ", "add d", "md d ", "mg e "]);
    // It has heard that nothing more comes.
    assert_eq!(server.reader().read(&mut [0; 1]).unwrap(), 0);
}
