//! The stanzas of the cases.

/// The stanza that a case's name stands for; of those with a number at the end, of that many bytes, to two or three
/// where characters are longer.
pub(super) fn of(name: &str) -> Vec<u8> {
    let odd = match name {
        "iq" => {
            "<iq from='romeo@comp.example/orchard' to='peer.example' type='get' id='a1b2c3d4'><query xmlns='http://jabber.org/protocol/disco#info' node='urn:x:commands'/></iq>"
        }
        "presence" => {
            "<presence from='romeo@comp.example/orchard' to='juliet@peer.example/balcony'><show>away</show><priority>5</priority><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='https://client.example' ver='QgayPKawpkPSDYmwT/WM94uAlu0='/></presence>"
        }
        "stamped" => {
            "<message to='juliet@peer.example' type='chat' id='a1b2c3d4'><body>Art thou not Romeo?</body></message>"
        }
        "normalised" => {
            "<message from='Romeo@Comp.Example/Orchard' to='Juliet@PEER.example' type='chat' id='a1b2c3d4'><body>Art thou not Romeo?</body></message>"
        }
        "inherited" => {
            "<message from='romeo@comp.example' to='juliet@peer.example' id='a1b2c3d4'><body>Art thou not Romeo?</body><r:request/></message>"
        }
        "cdata" => {
            "<message from='romeo@comp.example' to='juliet@peer.example' id='a1b2c3d4'><body><![CDATA[1 < 2 & 3 > 2]]></body></message>"
        }
        _ => return message(name),
    };
    odd.as_bytes().to_vec()
}

fn message(name: &str) -> Vec<u8> {
    let length: usize = name.rsplit('-').next().and_then(|digits| digits.parse().ok()).unwrap_or(324);
    let (front, back) = if name.starts_with("plain") {
        (
            "<message from='comp.example' to='peer.example' id='000000000001' type='chat'><body>",
            "</body></message>",
        )
    } else {
        (
            "<message from='romeo@comp.example/orchard' to='juliet@peer.example/balcony' type='chat' id='a1b2c3d4'><body>",
            "</body><active xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/></message>",
        )
    };
    let text = if name.starts_with("non-ascii") {
        "Привет, мир. "
    } else {
        "Art thou not Romeo, and a Montague? "
    };
    let body = text.repeat(200);
    let wanted = length.saturating_sub(front.len() + back.len());
    let end = (wanted..body.len()).find(|&end| body.is_char_boundary(end)).unwrap_or(0);
    [front, &body[..end], back].concat().into_bytes()
}
