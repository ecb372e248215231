//! Instructions that the core spends on a stanza: the same on every machine with the same compiler, however
//! busy it is, so that a change that costs something shows at once.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::{env, fs, io};

use enjamb_core::jid::Domain;
use enjamb_core::router::{Claim, ConnId, Route, Router, Terms};
use enjamb_core::stream::{Accepting, Acceptor, Event, Handshaking, ServerStream, Shaking};
use enjamb_core::{ErrorType, Instant, Limits, Secret, StanzaCondition, StanzaError, StreamId};

use crate::wire;

const CASES: [&str; 5] = ["rich-324", "plain-208", "rich-2000", "non-ascii-2000", "bounce-324"];
/// What a count may be over its budget.
const TOLERANCE: f64 = 1.05;
const STANZAS: usize = 2000;
/// Where the only wrong digit of a handshake is; in the last case all of them are wrong.
const WRONG: [&str; 4] = ["handshake-0", "handshake-20", "handshake-39", "handshake-all"];
const HANDSHAKES: usize = 500;

/// Compares each case with the budget.
pub(crate) fn check(budget: &Path) -> io::Result<()> {
    let budget: BTreeMap<String, u64> =
        toml::from_str(&fs::read_to_string(budget)?).map_err(io::Error::other)?;
    let mut over = Vec::new();
    println!("{:16} {:>12} {:>8}", "case", "instructions", "budget");
    for case in CASES {
        // The difference leaves out what starting costs.
        let count = (count(case, 2 * STANZAS)? - count(case, STANZAS)?) / STANZAS as u64;
        let allowed = budget.get(case).copied().unwrap_or(0);
        let fits = count as f64 <= allowed as f64 * TOLERANCE;
        println!("{case:16} {count:>12} {allowed:>8}{}", if fits { "" } else { "  over" });
        if !fits {
            over.push(case);
        }
    }
    if let Some(unequal) = handshakes()? {
        over.push(unequal);
    }
    if over.is_empty() { Ok(()) } else { Err(io::Error::other(format!("over budget: {}", over.join(", ")))) }
}

/// Wrong handshakes that are right to different extents: checking them has to cost the same to the instruction.
fn handshakes() -> io::Result<Option<&'static str>> {
    let mut counts = Vec::new();
    for case in WRONG {
        let count = count(case, 2 * HANDSHAKES)? - count(case, HANDSHAKES)?;
        println!("{case:24} {:>4} for {HANDSHAKES} handshakes", count);
        counts.push(count);
    }
    Ok(counts.iter().any(|count| *count != counts[0]).then_some("handshakes, which differ"))
}

fn count(case: &str, stanzas: usize) -> io::Result<u64> {
    let file = env::temp_dir().join(format!("enjamb-instructions-{}", std::process::id()));
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "-q", &format!("--callgrind-out-file={}", file.display())])
        .arg(env::current_exe()?)
        .args(["exercise", case, &stanzas.to_string()])
        .stderr(Stdio::null())
        .status()?;
    let counted = fs::read_to_string(&file)?;
    fs::remove_file(&file)?;
    let total = counted.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok());
    total.filter(|_| status.success()).ok_or_else(|| io::Error::other("valgrind gave no count"))
}

/// Passes stanzas on, or bounces them.
pub(crate) fn exercise(case: &str, count: usize) -> io::Result<()> {
    if let Some(wrong) = case.strip_prefix("handshake-") {
        let handshake = wrong_handshake(wrong);
        return (0..count).try_for_each(|_| refuse(&handshake));
    }
    let broken = || io::Error::other("the core refuses what it has to take");
    let (mut stream, router) = (stream().ok_or_else(broken)?, router().ok_or_else(broken)?);
    let (input, bounce) = (stanza(case), case.starts_with("bounce"));
    let error = StanzaError::new(StanzaCondition::NotAllowed, ErrorType::Cancel, "you may not");
    let (mut out, mut target) = (Vec::with_capacity(4096), Vec::with_capacity(8192));
    for _ in 0..count {
        target.clear();
        let step = stream.process(Instant::ORIGIN, black_box(&input), &mut out).map_err(io::Error::other)?;
        let Some(Event::Stanza(stanza)) = step.event else { return Err(broken()) };
        let (Some(from), Some(to)) = (stanza.from(), stanza.to()) else { return Err(broken()) };
        if router.route(from, to) != Route::Deliver(ConnId(2)) {
            return Err(broken());
        }
        if bounce {
            if !stream.answer(&stanza, &error, &mut target) {
                return Err(broken());
            }
        } else {
            stanza.append_to(&mut target);
        }
        black_box(&target);
    }
    Ok(())
}

/// A handshake whose digit at `wrong` is another one of its kind.
fn wrong_handshake(wrong: &str) -> String {
    let mut proof = wire::proof(b"1", "s").into_bytes();
    let (from, to) = wrong.parse().map_or((0, proof.len()), |place: usize| (place, place + 1));
    for digit in &mut proof[from..to] {
        *digit = match *digit {
            b'9' => b'0',
            b'f' => b'a',
            other => other + 1,
        };
    }
    format!("<handshake>{}</handshake>", String::from_utf8_lossy(&proof))
}

fn refuse(handshake: &str) -> io::Result<()> {
    let mut out = Vec::with_capacity(4096);
    let shaking =
        shaking(&mut out).ok_or_else(|| io::Error::other("the core refuses what it has to take"))?;
    match black_box(shaking.process(handshake.as_bytes(), &mut out)) {
        (_, Shaking::Failed(_)) => Ok(()),
        _ => Err(io::Error::other("the core takes a wrong handshake")),
    }
}

fn shaking(out: &mut Vec<u8>) -> Option<Handshaking> {
    let limits = Arc::new(Limits::default());
    let host = Domain::parse("host.example").ok()?;
    let acceptor = Acceptor::new(host, StreamId::from_text("1")?, limits, Instant::ORIGIN);
    let (_, Accepting::Opened(opened)) = acceptor.process(wire::header("comp.example").as_bytes(), out)
    else {
        return None;
    };
    Some(opened.accept(Instant::ORIGIN, Secret::new("s"), out))
}

fn stream() -> Option<ServerStream> {
    let mut out = Vec::new();
    let shaking = shaking(&mut out)?;
    let handshake = format!("<handshake>{}</handshake>", wire::proof(b"1", "s"));
    let (_, Shaking::Proved(proved)) = shaking.process(handshake.as_bytes(), &mut out) else { return None };
    Some(proved.bind(Instant::ORIGIN, true, &mut out))
}

fn router() -> Option<Router> {
    let mut router = Router::new([Domain::parse("host.example").ok()?]);
    for (number, name) in [(1, "comp.example"), (2, "peer.example")] {
        let claim = Claim::Domain(Domain::parse(name).ok()?);
        router.bind(ConnId(number), claim, Arc::new(Terms::default())).ok()?;
    }
    Some(router)
}

/// A message of as many bytes as the case's name says, to two or three where characters are longer.
fn stanza(case: &str) -> Vec<u8> {
    let length: usize = case.rsplit('-').next().and_then(|digits| digits.parse().ok()).unwrap_or(324);
    let (front, back) = if case.starts_with("plain") {
        (
            "<message from='a0.comp.example' to='b0.peer.example' id='000000000001' type='chat'><body>",
            "</body></message>",
        )
    } else {
        (
            "<message from='romeo@comp.example/orchard' to='juliet@peer.example/balcony' type='chat' id='a1b2c3d4'><body>",
            "</body><active xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/></message>",
        )
    };
    let front = front.replace("a0.comp", "comp").replace("b0.peer", "peer");
    let text = if case.starts_with("non-ascii") {
        "Привет, мир. "
    } else {
        "Art thou not Romeo, and a Montague? "
    };
    let body = text.repeat(200);
    let wanted = length.saturating_sub(front.len() + back.len());
    let end = (wanted..body.len()).find(|&end| body.is_char_boundary(end)).unwrap_or(0);
    [&front, &body[..end], back].concat().into_bytes()
}
