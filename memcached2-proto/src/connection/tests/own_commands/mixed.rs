//! Any requests in any order, and a server that may break the rules.

use memcached2_testkit::Rng;

use super::*;

/// A request, what is said to it, and the replies that this is.
struct Asked {
    own: Own,
    said: String,
    texts: &'static str,
    is_cancelled: bool,
}

fn any(rng: &mut Rng) -> Asked {
    let (kind, keys, said, texts) = SAID[rng.below(SAID.len())];
    let fences = fences(kind);
    let fence = fences[rng.below(fences.len())];
    let answer = if fence == Fence::Without { "" } else { "NF@\r\n" };
    Asked { own: Own { kind, keys, fence }, said: format!("{said}{answer}"), texts, is_cancelled: rng.once_in(5) }
}

/// What a server says that loses, doubles or exchanges a line, or says another one. Returns whether a check can notice it: not if two
/// lines without an opaque are exchanged.
fn broken(lines: &mut Vec<String>, rng: &mut Rng) -> bool {
    let at = rng.below(lines.len());
    let what = rng.below(6);
    match what {
        0 => drop(lines.remove(at)),
        1 => lines.insert(at, lines[at].clone()),
        2 => lines.swap(at, 0),
        3 => lines[at] = format!("{}\r\n", REFUSALS[rng.below(REFUSALS.len())]),
        4 => lines.insert(at, format!("{}\r\n", REFUSALS[rng.below(REFUSALS.len())])),
        _ => drop(lines.split_off(at)),
    }
    what != 2
}

/// What comes of requests, if this is said to them.
fn outcome(asked: &[Asked], lines: &[String], way: Way) -> Outcome {
    let mut connection = Connection::new(Limits::default());
    for (tag, Asked { own, is_cancelled, .. }) in (0..).zip(asked) {
        let ticket = connection.submit(own, now(), tag).unwrap();
        while connection.take_outgoing().is_some() {}
        if *is_cancelled {
            assert!(!connection.cancel(ticket), "it was written");
        }
    }
    let mut replies = Vec::new();
    let mut act = |tag, reply, last| replies.push((tag, spoken(&reply), last));
    let mut result = take(&mut connection, lines.concat().as_bytes(), way, &mut act);
    while result.is_ok() && connection.take_outgoing().is_some() {
        result = take(&mut connection, b"MN\r\n", way, &mut act);
    }
    let is_idle = connection.is_idle();
    (replies, is_idle, connection.fail_pending().map(|abandoned| (abandoned.tag, abandoned.landed)).collect())
}

#[test]
fn whatever_a_server_says_to_any_requests_is_the_same_however_it_comes() {
    for seed in 0..4000 {
        let mut rng = Rng::new(seed);
        let asked: Vec<_> = (0..1 + rng.below(5)).map(|_| any(&mut rng)).collect();
        let mut lines = Vec::new();
        for (ticket, Asked { said, .. }) in (0..).zip(&asked) {
            let opaque = String::from_utf8_lossy(Opaque::from_ticket(ticket).as_flag()).into_owned();
            lines.extend(said.replace('@', &opaque).split_inclusive("\r\n").map(str::to_owned));
        }
        let is_broken = seed % 4 != 0;
        let is_checked = !is_broken || broken(&mut lines, &mut rng);
        let whole = outcome(&asked, &lines, Way::Pieces(usize::MAX));
        let case = || {
            let requests: Vec<_> = asked.iter().map(|asked| (asked.own, asked.is_cancelled)).collect();
            format!("{seed}: {requests:?}, {lines:?}: {whole:?}")
        };
        for way in ways([rng.below(60), rng.below(200)].into_iter()) {
            assert_eq!(outcome(&asked, &lines, way), whole, "{way:?}, {}", case());
        }
        let (replies, is_idle, left) = &whole;
        let ended = replies.iter().filter(|(.., last)| *last).count();
        assert_eq!((ended + left.len(), *is_idle && !left.is_empty()), (asked.len(), false), "{}", case());
        for (tag, asked) in (0..).zip(&asked) {
            let mut of_one = replies.iter().filter(|reply| reply.0 == tag);
            let has_ended = of_one.clone().any(|reply| reply.2);
            // Of two lines with the same opaque, nothing tells which is the answer to the fence.
            let is_checked = is_checked && (asked.own.fence != Fence::Without) != asked.own.kind.is_checked();
            if !is_broken {
                let texts = if asked.is_cancelled { "Cancelled" } else { asked.texts };
                let texts = texts.split('|').collect::<Vec<_>>();
                assert_eq!(of_one.map(|reply| &reply.1[..]).collect::<Vec<_>>(), texts, "{tag}, {}", case());
            } else if is_checked && has_ended {
                // Nothing tells a statistic that was lost or doubled.
                let is_own = |text: &str| {
                    let is_any = ["Cancelled", "Refused", "Stats"].iter().any(|word| text.starts_with(word));
                    is_any || asked.texts.split('|').any(|own| own == text)
                };
                assert!(of_one.all(|reply| is_own(&reply.1)), "{tag}, {}", case());
            }
        }
        assert!(is_broken || *is_idle, "{}", case());
    }
}
