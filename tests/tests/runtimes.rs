//! The same scripts give the same transcripts on every runtime: tokio in both flavours, async-std, smol and the
//! simulator; and on all but the last over TLS, of which the core is told nothing.

use enjamb_tests::suite::{AsyncStd, AsyncStdTls, Simulated, Smol, SmolTls, Tokio, TokioTls, play, scripts};

macro_rules! on_every_runtime {
    ($($runtime:ident: $type:ty,)*) => {$(
        mod $runtime {
            use super::*;

            type Here = $type;

            #[test]
            fn two_components_meet() {
                assert_eq!(play::<Here, _>(scripts::meet), MEET);
            }

            #[test]
            fn half_a_connection_closes() {
                assert_eq!(play::<Here, _>(scripts::half_close), HALF_CLOSE);
            }

            #[test]
            fn both_sides_write_five_megabytes_at_once() {
                assert_eq!(play::<Here, _>(scripts::both_write), BOTH_WRITE);
            }

            #[test]
            fn a_peer_stops_reading() {
                assert_eq!(play::<Here, _>(scripts::stall), STALL);
            }

            #[test]
            fn alarms_ring_late() {
                assert_eq!(play::<Here, _>(scripts::late), LATE);
            }

            #[test]
            fn futures_are_dropped_where_they_wait() {
                assert_eq!(play::<Here, _>(scripts::cancel), CANCEL);
            }

            #[test]
            fn the_server_stops_in_the_middle_of_a_stanza() {
                assert_eq!(play::<Here, _>(scripts::shutdown), SHUTDOWN);
            }

            #[test]
            fn a_refused_component_comes_back_later() {
                assert_eq!(play::<Here, _>(scripts::come_back), COME_BACK);
            }

            #[test]
            fn a_replaced_component_comes_back_later() {
                assert_eq!(play::<Here, _>(scripts::replaced), REPLACED);
            }

            #[test]
            fn only_requests_are_sent_and_only_their_answers_taken() {
                assert_eq!(play::<Here, _>(scripts::no_request), NO_REQUEST);
            }

            #[test]
            fn a_component_is_a_stream_and_a_sink() {
                assert_eq!(play::<Here, _>(scripts::combine), COMBINE);
            }

            #[test]
            fn requests_are_matched_with_their_answers() {
                assert_eq!(play::<Here, _>(scripts::request), REQUEST);
            }
        }
    )*};
}

on_every_runtime! {
    tokio_on_threads: Tokio<true>,
    tokio_on_one_thread: Tokio<false>,
    async_std: AsyncStd,
    smol: Smol,
    simulated: Simulated,
    tokio_on_threads_over_tls: TokioTls<true>,
    tokio_on_one_thread_over_tls_1_2: TokioTls<false>,
    async_std_over_tls: AsyncStdTls,
    smol_over_tls: SmolTls,
}

const MEET: [&str; 11] = [
    "b: y@a.example: <body>0</body>",
    "a: b.example: <body>0, too</body>",
    "b: y@a.example: <body>1</body>",
    "a: b.example: <body>1, too</body>",
    "b: y@a.example: <body>2</body>",
    "a: b.example: <body>2, too</body>",
    "a: nobody.example: error remote-server-not-found to lost",
    "server of a: by peer, 0 unsent",
    "a: by us",
    "b: a.example: error remote-server-not-found to late",
    "server of b: by peer, 0 unsent",
];
const HALF_CLOSE: [&str; 3] =
    ["b: a.example: <body>last</body>", "peer: </stream:stream>", "server: by peer, 0 unsent"];
const BOTH_WRITE: [&str; 2] = ["a: 500 in order", "b: 500 in order"];
const STALL: [&str; 2] =
    ["a: deaf.example: error resource-constraint to much", "b: a.example: <body>still here</body>"];
const LATE: [&str; 4] = [
    "peer: connection-timeout",
    "server: connection-timeout, 0 unsent",
    "component: connection-timeout",
    "in time: true",
];
const CANCEL: [&str; 8] = [
    "nothing came: true",
    "a: b.example: <body>1</body>",
    "no answer: true",
    "a, unasked: b.example: ",
    "a: broken",
    "server: by peer, 0 unsent",
    "b: a.example: error remote-server-not-found to gone",
    "the name is free",
];
const SHUTDOWN: [&str; 6] = [
    "b: a.example: <body>whole</body>",
    "peer is told: true",
    "b got more: false",
    "b: system-shutdown",
    "server of a: system-shutdown, 0 unsent",
    "server of b: system-shutdown, 0 unsent",
];
const REQUEST: [&str; 5] = [
    "result from Some(\"host.example\")",
    "nobody.example: error remote-server-not-found to enjamb-2",
    "no answer came within 60ms",
    "a, unasked: c.example: ",
    "the stream ended before the answer came",
];
const NO_REQUEST: [&str; 10] = [
    "\"\": not exactly one element, within the limit of 1048576 bytes",
    "\"text\": not exactly one element, within the limit of 1048576 bytes",
    "\"<a/><b/>\": not exactly one element, within the limit of 1048576 bytes",
    "\"<a/>text\": not exactly one element, within the limit of 1048576 bytes",
    "\"<x:a/>\": not a stanza: not well-formed: a namespace prefix that is not declared (at byte 1 of the element)",
    "\"<a>\": not exactly one element, within the limit of 1048576 bytes",
    "answer: true",
    "a, unasked: b.example: <n/>",
    "a, unasked: b.example: <n/>",
    "a, unasked: x@b.example: <n/>",
];
const COMBINE: [&str; 6] = [
    "sent: Ok(())",
    "a: 1000 in order",
    "a half: not exactly one element, within the limit of 1048576 bytes",
    "closed: Ok(())",
    "server: by peer, 0 unsent",
    "more: Err(Ended)",
];
const COME_BACK: [&str; 6] = [
    "refused: conflict",
    "holder: by peer, 0 unsent",
    "waited: true",
    "a: a.example: <body>back</body>",
    "a: by us",
    "again: true",
];
const REPLACED: [&str; 4] = ["a: conflict", "waited: true", "again: true", "newcomer: conflict"];
