//! A component's connection whose stream skips.

use core::time::Duration;

use super::*;

const NOW: Now = Now { monotonic: Instant::ORIGIN, unix: Duration::ZERO };

#[test]
fn u4_long_stanza_is_skipped_in_shares_and_not_kept() {
    const LIMIT: usize = 10_000;
    const READ: usize = 1500;
    const SHARE: usize = 96;
    let limits = Limits { stanza: LIMIT, ..Limits::default() };
    let domain = Domain::parse("a.example").unwrap();
    let mut client = ClientConnection::new(domain, false, Secret::new("s"), limits.into(), NOW);
    let begin = b"<stream:stream xmlns='jabber:component:accept' \
        xmlns:stream='http://etherx.jabber.org/streams' from='a.example' id='1'><handshake/>";
    let mut budget = Budget::default();
    let _ = client.process(NOW, begin, &mut budget, |_| true);
    let Phase::Open(stream) = &mut client.phase else { panic!("it is accepted") };
    stream.set_skipping(true);

    let dear = "<b/>".repeat(100_000);
    let begun = alloc::format!("<message to='a.example' from='b.example'><body>{dear}</body>");
    let input = [begun.as_bytes(), b"</message><message id='next'/>"].concat();
    let (mut at, mut shown, mut taken) = (0, 0, 0);
    while taken == 0 {
        // A read ends somewhere; what is not consumed is shown again.
        shown = input.len().min(shown + READ);
        let mut budget = Budget::default();
        let progress = client.process(NOW, &input[at..shown], &mut budget, |_| {
            taken += 1;
            true
        });
        at += progress.consumed;
        assert!(budget.spent() <= 2 * SHARE, "{} units in one call", budget.spent());
        assert!(at > 0 || shown < LIMIT + READ, "nothing is consumed of {shown} bytes");
        assert!(at == 0 || client.window() < 4096, "bytes are looked at again");
    }
    assert_eq!(at, input.len());
    let said = String::from_utf8_lossy(client.poll_output().bytes()).into_owned();
    assert_eq!(said.matches("<policy-violation ").count(), 1, "{said}");
}
