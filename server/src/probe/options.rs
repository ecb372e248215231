//! The options of `enjamb probe`, and what follows from them.

use std::time::Duration;

use clap::{Args, ValueEnum, value_parser};
use enjamb_probe::cuts::Cut;
use enjamb_probe::{Names, Patience};

/// How to probe a server.
#[derive(Debug, Args)]
#[command(after_long_help = "\
The server that is probed has to let the components in. Prosody, for the names that are used if none are given:

    VirtualHost \"host.example\"
    Component \"comp.example\"
        component_secret = \"s3cret\"
    Component \"peer.example\"
        component_secret = \"s3cret\"
    Component \"down.example\"
        component_secret = \"s3cret\"

Nothing else may be connected as one of them, and the greatest stanza should be 262144 bytes.

Exit code: 0 if every answer is one that its rule allows, 1 if not, 2 if the server can't be probed, or not to the end.")]
pub struct ProbeOptions {
    /// Where the server listens for components: 127.0.0.1:8888, localhost:5347.
    #[arg(value_name = "HOST:PORT", required_unless_present = "list")]
    pub server: Option<String>,
    /// The secret of the components. In the environment nobody else on the machine sees it.
    #[arg(
        short,
        long,
        env = "ENJAMB_PROBE_SECRET",
        hide_env_values = true,
        required_unless_present = "list"
    )]
    pub secret: Option<String>,
    /// The component that sends [default: comp.example].
    #[arg(short, long, value_name = "DOMAIN", help_heading = "Names on that server")]
    pub domain: Option<String>,
    /// A second component, which receives; without one, cases of an open stream are left out [default: peer.example, or
    /// none with --domain].
    #[arg(long, value_name = "DOMAIN", help_heading = "Names on that server")]
    pub peer: Option<String>,
    /// A component that the server knows and that is not connected [default: down.example, or none with
    /// --domain].
    #[arg(long, value_name = "DOMAIN", help_heading = "Names on that server")]
    pub away: Option<String>,
    /// The server's own domain, which answers pings [default: host.example, or --domain without
    /// its first label].
    #[arg(long, value_name = "DOMAIN", help_heading = "Names on that server")]
    pub host: Option<String>,
    /// Only these: ids (BS-050, C-052), groups (opening, xml, ...) or parts of names (utf16), with commas between.
    #[arg(short, long, value_name = "LIST", value_delimiter = ',')]
    pub only: Vec<String>,
    /// List the cases and what each should be answered, and connect to nothing.
    #[arg(long)]
    pub list: bool,
    /// How the bytes of a case are written; more than one plays all cases again for each.
    #[arg(long, value_enum, value_name = "HOW", value_delimiter = ',', default_value = "whole")]
    pub cuts: Vec<Writes>,
    /// For random cuts: the same number gives the same cuts.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
    /// How long to wait for an answer that must come, in seconds. It is spent where none comes.
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = value_parser!(u64).range(1..=60))]
    pub answer_within: u64,
    /// When to stop, in seconds, whatever is left.
    #[arg(long, value_name = "SECONDS", default_value_t = 900, value_parser = value_parser!(u64).range(1..=86_400))]
    pub at_most: u64,
    /// Write one JSON object to standard output instead of tables.
    #[arg(long)]
    pub json: bool,
    /// Leave out the table of all cases: only what is outside the rules, and the summary.
    #[arg(short, long, conflicts_with = "json")]
    pub brief: bool,
    /// Probe a server that is not on this machine. The cases are hostile: only do so where you may.
    #[arg(long)]
    pub i_may_probe_this_host: bool,
}

/// How the bytes of a case are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Writes {
    /// In one write, unless the case says otherwise.
    Whole,
    /// One byte a write.
    Bytes,
    /// In random pieces, by the seed.
    Random,
}

impl ProbeOptions {
    pub(super) fn names(&self) -> Names {
        let secret = self.secret.as_deref().unwrap_or_default();
        let mut names = Names::standard(secret);
        if let Some(domain) = &self.domain {
            let parent = domain.split_once('.').map_or(domain.as_str(), |(_, parent)| parent);
            names = Names {
                component: domain.clone(),
                receiver: None,
                away: None,
                host: parent.to_owned(),
                secret: secret.to_owned(),
            };
        }
        names.receiver = self.peer.clone().or(names.receiver);
        names.away = self.away.clone().or(names.away);
        names.host = self.host.clone().unwrap_or(names.host);
        names
    }

    pub(super) fn patience(&self) -> Patience {
        Patience { answer: Duration::from_secs(self.answer_within), ..Patience::default() }
    }

    /// Is this case asked for?
    pub(super) fn wants(&self, id: &str, group: &str, name: &str) -> bool {
        let fits =
            |word: &String| word.eq_ignore_ascii_case(id) || word == group || name.contains(word.as_str());
        self.only.is_empty() || self.only.iter().any(fits)
    }
}

impl Writes {
    /// The cut of the case with this number.
    pub(super) fn cut(self, seed: u64, number: usize) -> Cut {
        match self {
            Self::Whole => Cut::Whole,
            Self::Bytes => Cut::Every(1),
            Self::Random => Cut::Random(seed.wrapping_mul(1000).wrapping_add(number as u64)),
        }
    }

    /// What to call it where it is not the usual one.
    pub(super) fn word(self) -> Option<&'static str> {
        match self {
            Self::Whole => None,
            Self::Bytes => Some("bytes"),
            Self::Random => Some("random"),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn options(args: &[&str]) -> ProbeOptions {
        let all = ["enjamb", "probe", "127.0.0.1:1", "--secret", "s"].iter().chain(args);
        match Cli::try_parse_from(all).map(|cli| cli.command) {
            Ok(Some(Command::Probe(options))) => *options,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn names_are_those_of_the_cases_unless_a_domain_is_given() {
        let names = options(&[]).names();
        assert_eq!((names.component.as_str(), names.host.as_str()), ("comp.example", "host.example"));
        assert!(names.receiver.is_some() && names.away.is_some());
        let names = options(&["--domain", "bot.localhost"]).names();
        assert_eq!((names.component.as_str(), names.host.as_str()), ("bot.localhost", "localhost"));
        assert!(names.receiver.is_none() && names.away.is_none());
        let names =
            options(&["--domain", "bot.localhost", "--peer", "b.localhost", "--host", "x.org"]).names();
        assert_eq!((names.receiver.as_deref(), names.host.as_str()), (Some("b.localhost"), "x.org"));
    }

    #[test]
    fn only_takes_ids_groups_and_parts_of_names() {
        let options = options(&["--only", "bs-050,xml,utf16"]);
        assert!(options.wants("BS-050", "opening", "wrong-stream-ns"));
        assert!(options.wants("BS-240", "xml", "comment-in-stanza"));
        assert!(options.wants("BS-040", "declaration", "utf16le-real"));
        assert!(!options.wants("BS-051", "opening", "stream-ns-trailing-slash"));
    }

    #[test]
    fn the_same_seed_gives_the_same_cuts_and_another_others() {
        let bytes = [0; 1000];
        let cut =
            |seed, number| Writes::Random.cut(seed, number).pieces(&bytes).iter().map(|p| p.len()).collect();
        let cuts: [Vec<usize>; 4] = [cut(1, 1), cut(1, 1), cut(1, 2), cut(2, 1)];
        assert!(cuts[0] == cuts[1] && cuts[0] != cuts[2] && cuts[0] != cuts[3]);
    }
}
