use super::*;

#[test]
fn the_name_servers_of_the_system_are_those_of_its_file() {
    let text = "# comment\nsearch example\nnameserver 10.0.0.53\nnameserver\t::1 # ours\nnameserver fe80::1%eth0\n\
                nameserver nonsense\nnameserver nonsense%eth0\noptions ndots:5\n";
    assert_eq!(name_servers(text), ["10.0.0.53", "::1", "fe80::1%eth0"].map(|host| (host.to_owned(), 53)));
    assert_eq!(name_servers(""), [("127.0.0.1".to_owned(), 53)]);
}

#[cfg(feature = "srv")]
mod asking {
    use memcached2_testkit::Rng;
    use simple_dns::rdata::{RData, SRV};
    use simple_dns::{CLASS, Name, Packet, PacketFlag, RCODE, ResourceRecord};

    use super::*;

    const NAME: &str = "_memcached._tcp.cache.example";
    const NOW: Instant = Instant::ZERO;

    /// An answer with this many records.
    fn answer(question: &[u8], records: u16, change: impl FnOnce(&mut Packet<'_>)) -> Vec<u8> {
        let mut packet = Packet::parse(question).unwrap().into_reply();
        let target = |at| Name::new(["a.example", "b.example", "c.example"][usize::from(at)]).unwrap();
        for at in 0..records {
            let srv = SRV { priority: 1, weight: at, port: 11211 + at, target: target(at) };
            packet.answers.push(ResourceRecord::new(Name::new(NAME).unwrap(), CLASS::IN, 60, RData::SRV(srv)));
        }
        change(&mut packet);
        packet.build_bytes_vec_compressed().unwrap()
    }

    fn question(servers: &[&str]) -> SrvQuestion {
        let name_servers = servers.iter().map(|server| server.parse().unwrap()).collect();
        SrvQuestion { name: NAME.to_owned(), name_servers }
    }

    fn begin(servers: &[&str]) -> SrvLookup {
        question(servers).begin(7 << 48, vec!["10.0.0.9:53".parse().unwrap()]).unwrap()
    }

    /// Asks until the lookup is over. `reply` gets the question, and returns the answer, which by TCP comes byte by byte.
    fn look_up(
        mut lookup: SrvLookup,
        mut reply: impl FnMut(SrvAsk, &[u8]) -> io::Result<Vec<u8>>,
    ) -> io::Result<Vec<SrvRecord>> {
        while let Some(ask) = lookup.next_ask(NOW) {
            let mut message = lookup.message();
            if ask.by_tcp {
                let (length, question) = message.split_first_chunk().unwrap();
                assert_eq!(usize::from(u16::from_be_bytes(*length)), question.len());
                message = question;
            }
            match reply(ask, message) {
                Err(error) => lookup.on_error(error),
                Ok(answer) if ask.by_tcp => {
                    let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
                    let framed = [&length[..], &answer].concat();
                    let taken = framed.iter().take_while(|byte| !lookup.on_received(&[**byte], NOW)).count();
                    assert_eq!(taken, framed.len() - 1);
                }
                Ok(answer) => assert!(lookup.on_received(&answer, NOW)),
            }
        }
        lookup.finish()
    }

    #[test]
    fn a_name_server_that_fails_is_followed_by_the_next_one() {
        let mut asked = Vec::new();
        let found = look_up(begin(&["10.0.0.1:53", "10.0.0.2:53"]), |ask, question| {
            asked.push((ask.server.to_string(), ask.by_tcp, question[..2].to_vec()));
            match asked.len() {
                1 => Err(io::ErrorKind::TimedOut.into()),
                2 => Ok(answer(question, 0, |packet| *packet.rcode_mut() = RCODE::ServerFailure)),
                3 => Ok(answer(question, 2, |packet| packet.remove_flags(PacketFlag::RESPONSE))),
                4 => Ok(answer(question, 0, |packet| packet.set_flags(PacketFlag::TRUNCATION))),
                _ => Ok(answer(question, 3, |_| {})),
            }
        });
        let found = found.unwrap();
        let last = SrvRecord { target: "c.example".to_owned(), port: 11213, priority: 1, weight: 2 };
        assert_eq!((found.len(), &found[2]), (3, &last));
        let of = |server: &str, by_tcp| (format!("10.0.0.{server}:53"), by_tcp, vec![0, 7]);
        assert_eq!(asked, [of("1", false), of("2", false), of("1", false), of("2", false), of("2", true)]);
    }

    #[test]
    fn a_name_server_that_fails_by_tcp_is_followed_by_the_next_one() {
        let no_answer = |_: &[u8]| Err(io::ErrorKind::ConnectionRefused.into());
        let cut = |question: &[u8]| Ok(answer(question, 0, |packet| packet.set_flags(PacketFlag::TRUNCATION)));
        for by_tcp in [no_answer as fn(&[u8]) -> io::Result<Vec<u8>>, cut] {
            let mut asked = Vec::new();
            let found = look_up(begin(&["10.0.0.1:53", "10.0.0.2:53"]), |ask, question| {
                asked.push((ask.server.to_string(), ask.by_tcp));
                match asked.len() {
                    1 => cut(question),
                    2 => by_tcp(question),
                    _ => Ok(answer(question, 1, |_| {})),
                }
            });
            assert_eq!(found.unwrap().len(), 1);
            let of = |server: &str, by_tcp| (format!("10.0.0.{server}:53"), by_tcp);
            assert_eq!(asked, [of("1", false), of("1", true), of("2", false)]);
        }
    }

    #[test]
    fn a_name_without_records_is_not_asked_for_again() {
        let no_such_name = |packet: &mut Packet<'_>| *packet.rcode_mut() = RCODE::NameError;
        let nothing = |_: &mut Packet<'_>| {};
        for change in [no_such_name as fn(&mut Packet<'_>), nothing] {
            let mut asked = 0;
            let error = look_up(begin(&["10.0.0.1:53", "10.0.0.2:53"]), |_, question| {
                asked += 1;
                Ok(answer(question, 0, change))
            });
            let error = error.unwrap_err();
            assert_eq!((error.kind(), asked), (io::ErrorKind::NotFound, 1));
            assert!(error.to_string().contains(NAME), "{error}");
        }
    }

    #[test]
    fn a_name_may_end_with_a_dot() {
        let mut question = question(&["10.0.0.1:53"]);
        question.name.push('.');
        let lookup = question.clone().begin(7, Vec::new()).unwrap();
        assert_eq!(look_up(lookup, |_, question| Ok(answer(question, 2, |_| {}))).unwrap().len(), 2);
        let source = crate::topology::ServerSource::srv(&format!("{NAME}.")).unwrap();
        assert!(matches!(source.question(), crate::topology::Question::Records(asked) if asked.name == question.name));
    }

    #[test]
    fn nonsense_is_no_answer() {
        let long = [&[0, 7, 0x81, 0x80][..], &[0xff; 100]].concat();
        for nonsense in [&[0, 7][..], &[0, 7, 0x81, 0x80, 0xff], &long] {
            let mut asked = 0;
            let error = look_up(begin(&["10.0.0.1:53"]), |_, _| {
                asked += 1;
                Ok(nonsense.to_vec())
            });
            assert_eq!((error.unwrap_err().kind(), asked), (io::ErrorKind::InvalidData, ROUNDS));
        }
    }

    #[test]
    fn a_datagram_to_another_question_is_not_taken_until_the_time_is_over() {
        let mut lookup = begin(&["10.0.0.1:53"]);
        let ask = lookup.next_ask(NOW).unwrap();
        assert_eq!((ask.deadline, ask.local()), (NOW + WITHIN, "0.0.0.0:0".parse().unwrap()));
        let mut late = answer(lookup.message(), 1, |_| {});
        late[1] ^= 1;
        for other in [&late[..], &[0], &[]] {
            assert!(!lookup.on_received(other, NOW));
        }
        assert!(lookup.on_received(&late, ask.deadline));
        let again = lookup.next_ask(ask.deadline).unwrap();
        assert_eq!((again.server, again.deadline), (ask.server, ask.deadline + WITHIN));
        lookup.on_error(io::ErrorKind::TimedOut.into());
        assert_eq!(lookup.next_ask(again.deadline), None);
        assert_eq!(lookup.finish().unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn an_answer_by_tcp_that_ends_too_soon_or_comes_too_slowly_is_none() {
        let mut lookup = begin(&["[::1]:53"]);
        for (last, at, kind) in
            [(&b""[..], NOW, io::ErrorKind::UnexpectedEof), (b"x", NOW + WITHIN, io::ErrorKind::TimedOut)]
        {
            assert_eq!(
                lookup.next_ask(NOW).map(|ask| (ask.by_tcp, ask.local())),
                Some((false, "[::]:0".parse().unwrap()))
            );
            let cut = answer(lookup.message(), 0, |packet| packet.set_flags(PacketFlag::TRUNCATION));
            assert!(lookup.on_received(&cut, NOW));
            assert!(lookup.next_ask(NOW).unwrap().by_tcp);
            assert!(!lookup.on_received(b"\0\x20\0\x07", NOW));
            assert!(lookup.on_received(last, at));
            assert!(matches!(&lookup.result, Err(error) if error.kind() == kind), "{:?}", lookup.result);
        }
        assert_eq!(lookup.next_ask(NOW), None);
    }

    #[test]
    fn the_name_servers_of_the_system_are_asked_if_none_were_given() {
        assert!(question(&[]).wants_system() && !question(&["10.0.0.1:53"]).wants_system());
        let mut asked = Vec::new();
        let found = look_up(begin(&[]), |ask, question| {
            asked.push(ask.server.to_string());
            Ok(answer(question, 1, |_| {}))
        });
        assert_eq!((found.unwrap().len(), asked), (1, vec!["10.0.0.9:53".to_owned()]));
        let nobody = look_up(question(&[]).begin(7, Vec::new()).unwrap(), |_, _| panic!("nobody is known"));
        assert!(nobody.unwrap_err().to_string().contains("name_servers"));
    }

    #[test]
    fn no_answer_makes_a_lookup_panic_or_wait_beyond_the_deadline() {
        let (mut rng, mut found) = (Rng::new(1), 0);
        for _ in 0..20_000 {
            let mut lookup = begin(&["10.0.0.1:53"]);
            let ask = lookup.next_ask(NOW).unwrap();
            let mut answer = answer(lookup.message(), 3, |_| {});
            for _ in 0..rng.below(5) {
                let at = 2 + rng.below(answer.len() - 2);
                answer[at] = u8::try_from(rng.below(256)).unwrap();
            }
            answer.truncate(if rng.once_in(3) { rng.below(answer.len()) } else { answer.len() });
            assert!(lookup.on_received(&answer, ask.deadline));
            if lookup.next_ask(NOW).is_some_and(|ask| ask.by_tcp) {
                let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
                assert!(lookup.on_received(&[&length[..], &answer].concat(), ask.deadline));
            }
            if let Ok(records) = lookup.finish() {
                found += usize::from(super::super::super::servers(&records, "memcached").is_ok());
            }
        }
        assert!(found > 1000, "{found}");
    }
}
