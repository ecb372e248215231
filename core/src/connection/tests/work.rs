//! What one call may cost, whatever the input is.

use alloc::format;
use alloc::string::String;

use super::{NOW, bound, listener, send, switch};
use crate::connection::{Budget, Next};

/// A message of 1 MiB less a little whose elements have this start tag and nothing else, in a `<w>` with these attributes.
fn message(outer: &str, tag: &str) -> String {
    let front = format!("<message to='b.example'><w{outer}>");
    let back = format!("{}</message>", "</w>".repeat(front.matches("<w").count()));
    let times = ((1 << 20) - front.len() - back.len() - 1) / tag.len();
    format!("{front}{}{back}", tag.repeat(times))
}

/// Each input, and the most bytes of it that one call may look at.
fn inputs() -> [(&'static str, String, usize); 4] {
    let declared = |from: usize| -> String {
        (from..from + 120).map(|n| format!(" xmlns:p{n:03}='urn:p{n:03}'")).collect()
    };
    let prefixes = format!("{}><w{}", declared(0), declared(120));
    let attributes: String = (0..100).map(|n| format!(" p000:a{n:02}=''")).collect();
    let plain: String = (0..100).map(|n| format!(" a{n:02}=''")).collect();
    [
        ("many prefixed attributes", message(&prefixes, &format!("<a{attributes}/>")), 48 << 10),
        ("many attributes", message("", &format!("<a{plain}/>")), 48 << 10),
        ("many tags", message("", "<a/>"), 48 << 10),
        ("text", message("", &"x".repeat(1000)), 900 << 10),
    ]
}

#[test]
fn large_stanza_is_scanned_in_shares_of_its_cost() {
    for (what, input, most) in inputs() {
        let switch = switch();
        let mut connection = bound(&switch, listener(), "to='a.example'");
        let (mut looked, mut calls) = (0, 0);
        loop {
            let progress = connection.process(&switch, NOW, input.as_bytes(), &mut Budget::default());
            calls += 1;
            if progress.consumed > 0 {
                assert_eq!(progress.consumed, input.len(), "{what}");
                break;
            }
            assert_eq!(progress.next, Next::More, "{what}: the input is there");
            let now_looked = connection.session.window();
            assert!(now_looked - looked <= most, "{what}: {} bytes in one call", now_looked - looked);
            looked = now_looked;
        }
        assert!(calls > input.len() / most, "{what}: {calls} calls");
        // It was taken whole, and the connection goes on.
        let said = send(
            &switch,
            &mut connection,
            "<iq type='get' to='host.example' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
        )
        .1;
        assert!(said.contains("id='1'") && said.contains("<remote-server-not-found "), "{what}: {said}");
    }
}
