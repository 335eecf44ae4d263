use std::io::{Read, Write};
use std::net::TcpStream;

use super::*;
use crate::scripted::ScriptedServer;

fn one(text: &str) -> Transcript {
    let transcripts = read(text).expect("the text follows the format");
    let [transcript] = transcripts.try_into().expect("the text has one block");
    transcript
}

/// Returns the client's bytes of a block with this one line.
fn bytes(line: &str) -> Vec<u8> {
    let mut transcript = one(&format!("# a line\nC: {line}"));
    transcript.turns.remove(0).client
}

fn complaint(text: &str) -> String {
    read(text).expect_err("the text is faulty").to_string()
}

#[test]
fn blocks_hold_turns() {
    let text = "\
// Comments may stand anywhere.

# a value and a miss
C: mg a v
C: mg b v
// Even here.
S: VA 1
S: x
S: EN
R: a = x
R: b is missing
C: quit
E:


# an error unasked
S: SERVER_ERROR too many
E:
R: error:  two spaces
";
    let expected = [
        Transcript {
            title: "a value and a miss".to_owned(),
            turns: vec![
                Turn {
                    client: b"mg a v\r\nmg b v\r\n".to_vec(),
                    server: b"VA 1\r\nx\r\nEN\r\n".to_vec(),
                    ends: false,
                    results: vec!["a = x".to_owned(), "b is missing".to_owned()],
                },
                Turn { client: b"quit\r\n".to_vec(), ends: true, ..Turn::default() },
            ],
        },
        Transcript {
            title: "an error unasked".to_owned(),
            turns: vec![Turn {
                server: b"SERVER_ERROR too many\r\n".to_vec(),
                ends: true,
                results: vec!["error:  two spaces".to_owned()],
                ..Turn::default()
            }],
        },
    ];
    assert_eq!(read(text).as_deref(), Ok(&expected[..]));
}

#[test]
fn a_server_that_speaks_again_begins_a_turn() {
    let turns = one("# t\nC: a\nS: b\nR: c\nS: d\nR: e").turns;
    assert_eq!(turns.len(), 2);
    assert_eq!(turns[1].client, b"");
    assert_eq!(turns[1].server, b"d\r\n");
}

#[test]
fn a_client_may_refuse_before_it_sends() {
    let turns = one("# t\nR: the key is too long\nC: a\nS: b").turns;
    assert_eq!(turns.len(), 2);
    assert_eq!(turns[0].results, ["the key is too long"]);
    assert_eq!(turns[1].client, b"a\r\n");
}

#[test]
fn every_block_begins_with_its_own_turn() {
    let transcripts = read("# a\nC: x\nE:\n\n# b\nS: y\nR: z").expect("the text is well-formed");
    assert_eq!(transcripts[1].turns.len(), 1);
    assert_eq!(transcripts[1].turns[0].server, b"y\r\n");
}

#[test]
fn a_line_of_bytes_ends_with_crlf_unless_it_ends_with_backslash_c() {
    assert_eq!(bytes("mn"), b"mn\r\n");
    assert_eq!(bytes(""), b"\r\n");
    assert_eq!(one("# t\nS:").turns[0].server, b"\r\n");
    assert_eq!(bytes(" two  spaces "), b" two  spaces \r\n");
    assert_eq!(bytes(r"mn\c"), b"mn");
    assert_eq!(bytes(r"mn\n\c"), b"mn\n");
    assert_eq!(bytes(r"mn\\c"), b"mn\\c\r\n");
    assert_eq!(bytes(r"mn\\\c"), b"mn\\");
}

#[test]
fn escapes_stand_for_bytes() {
    assert_eq!(bytes(r"\r\n\t\0\\\x00\xfF\c"), b"\r\n\t\0\\\0\xff");
    assert_eq!(bytes(r"a:b \x41B\c"), b"a:b AB");
    assert_eq!(bytes(r"ä\c"), "ä".as_bytes());
}

#[test]
fn repetitions_stand_for_many_bytes() {
    assert_eq!(bytes(r"a\{3*x}b\{0*y}c\c"), b"axxxbc");
    assert_eq!(bytes(r"\{2*\x00}\{2*}}\{2**}\{2*\\}\c"), b"\0\0}}**\\\\");
    assert_eq!(bytes(r"\{300*x}\c"), [b'x'; 300]);
}

#[test]
fn an_error_names_the_line_and_what_is_wrong() {
    for (text, error) in [
        ("C: a", "line 1: a block begins with `# title`"),
        ("# t\n\n# u\nC: a", "line 2: nothing is said in \"t\""),
        ("# t", "line 1: nothing is said in \"t\""),
        ("#\nC: a", "line 1: the title is missing behind `#`"),
        ("# t\nC: a\n# u", "line 3: a blank line is missing before the title"),
        ("# t\nC: a\nE:\nS: b", "line 4: the server has ended the stream"),
        ("# t\nC: a\nE:\nE:", "line 4: the stream has ended already"),
        ("# t\nE: now", "line 2: nothing follows `E:`"),
        ("# t\nC: \\q", "line 2: there is no escape `\\q`"),
        ("# t\nC: \\", "line 2: a single backslash ends the line"),
        ("# t\nC: \\ca", "line 2: `\\c` stands only at the end of a line"),
        ("# t\nC: \\x+1", "line 2: two hexadecimal digits are missing behind `\\x`"),
        ("# t\nC: \\{3*xy}", "line 2: a repetition looks like `\\{300*x}`, not like `\\{3*xy}`"),
        ("# t\nC: \\{9999999999*x}", "line 2: a repetition has at most 1073741824 bytes"),
    ] {
        assert_eq!(complaint(text), error, "of {text:?}");
    }
    for line in ["C:a", "X: a", "get a"] {
        let text = complaint(&format!("# t\n{line}"));
        assert!(text.starts_with("line 2: a line begins with `C: `"), "{text}");
    }
    assert_eq!(read("# t\n\n").map_err(|error| error.line()), Err(2));
}

#[test]
fn a_transcript_is_played_as_a_session() {
    let transcript = one("# t\nC: get a\nS: END\nR: miss\nC: quit\nE:");
    let server = ScriptedServer::start([transcript.session()]);
    let mut client = TcpStream::connect(server.socket_addr()).expect("the server listens");
    client.write_all(b"get a\r\nquit\r\n").expect("the server reads");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("the server closes");
    assert_eq!(answer, "END\r\n");
    server.finish();
}

#[test]
#[should_panic(expected = "the transcript \"t\" goes on after the end of the stream")]
fn a_session_is_one_connection() {
    let _ = one("# t\nC: quit\nE:\nC: get a").session();
}

#[test]
#[should_panic(expected = "cannot read no/such/file: ")]
fn a_file_that_cannot_be_read_is_named() {
    let _ = load("no/such/file");
}
