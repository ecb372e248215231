//! What an operator sees.

use enjamb_server::config::{Config, DEFAULT_PORT, load};

use crate::{SECRET, file_with, load_text};

#[test]
fn a_fault_is_shown_with_its_place_and_an_excerpt() {
    let shown = load_text(&file_with("chekc_from = true")).render(false);
    assert_eq!(
        shown,
        "\
error: unknown key `chekc_from` in `listen.service`
 --> enjamb.toml:6:1
  |
6 | chekc_from = true
  | ^^^^^^^^^^
  |
  = help: did you mean `check_from`?

"
    );
}

#[test]
fn a_second_place_is_labelled() {
    let text = file_with("") + "[[listen.component]]\nport = 8888\npassword = '0123456789abcdef'\n";
    assert_eq!(
        load_text(&text).render(false),
        "\
error: two listeners on one address: 127.0.0.1:8888
 --> enjamb.toml:8:8
  |
4 | port = 8888
  |        ---- the first one is here
...
8 | port = 8888
  |        ^^^^
  |
  = help: give one of them another port

"
    );
}

#[test]
fn a_secret_is_never_shown() {
    let shown = load_text(&file_with("").replace(SECRET, "hunter2")).render(false);
    assert_eq!(
        shown,
        "\
warning: `password` is shorter than 16 characters: it can be guessed
 --> enjamb.toml:5:12
  |
5 | password = *********
  |            ^^^^^^^^^
  |
  = help: use 16 or more ASCII letters and digits

"
    );
    for text in [
        "pasword = 'hunter2'",
        "password = 'hunter2' x",
        "password = 'hunter2",
        "password 'hunter2'",
        "password = {a = 'hunter2', b = ['hunter2']}",
        "password = ['hunter2', 1",
        "password = '''\nhunter2",
        "password = hunter2",
        "[[listen.service]]\nport = 1\npassword = 'hunter2'\nport = 2",
        "[[listen.service]]\nport = 1, password = 'hunter2'",
        "[x]\nsecret = 'hunter2'\n[x]",
    ] {
        let loaded = load_text(&file_with("").replace(SECRET, "hunter2"));
        assert!(!format!("{loaded:?}").contains("hunter2"));
        for text in [file_with(text), text.to_owned()] {
            let loaded = load_text(&text);
            assert!(!loaded.diagnostics.is_empty(), "{text}");
            assert!(!loaded.render(false).contains("hunter2"), "{}", loaded.render(false));
            assert!(!format!("{loaded:?}").contains("hunter2"), "{loaded:?}");
        }
    }
    let config = Config::embedded_default("hunter2".to_owned(), DEFAULT_PORT);
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn nothing_invisible_reaches_the_terminal() {
    let odd = file_with("'\u{202e}kcolb' = 1\naccess = \"\\u001b[2J\"\n'a\u{9b}b' = ''\n\"\\u001b\" = 2");
    let broken = file_with("a = '\u{7f}'");
    let broken_more = file_with("a = '\u{1b}[2J'\r'");
    for (text, number) in [(odd, 4), (broken, 1), (broken_more, 1)] {
        let loaded = load("a\u{1b}b.toml", &text);
        assert_eq!(loaded.diagnostics.len(), number, "{loaded:?}");
        let shown = loaded.render(false);
        let lines: String = loaded.diagnostics.iter().map(|fault| loaded.source.line(fault)).collect();
        for c in shown.chars().chain(lines.chars()) {
            assert!(c == '\n' || !(c.is_control() || c == '\u{202e}'), "{c:?} in {shown}");
        }
    }
}

#[test]
fn colours_are_there_on_demand_only() {
    let loaded = load_text(&file_with("zebra = 1"));
    assert!(loaded.render(true).contains('\u{1b}'));
    assert!(!loaded.render(false).contains('\u{1b}'));
}

#[test]
fn columns_count_characters() {
    let loaded = load_text(&file_with("domains = ['bücher.example', 1]"));
    assert_eq!(loaded.source.position(loaded.diagnostics[0].span.start), (6, 30));
}
