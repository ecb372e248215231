//! Who sends to whom.

use std::io;

use clap::ValueEnum;

use crate::pace::Pace;
use crate::payload::Payload;

/// The most flows, since an id holds the flow in four hexadecimal digits.
const MOST_FLOWS: usize = 1 << 16;
/// The most bytes that may be outstanding.
const MOST_OUTSTANDING: usize = 1 << 30;

/// How senders and receivers are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Topology {
    /// a0 to b0, a1 to b1 and so on.
    Pairs,
    /// All of a0, a1, … to b0.
    FanIn,
    /// a0 to all of b0, b1, ….
    FanOut,
    /// Each of a0, a1, … to each other.
    Mesh,
}

/// What is sent, and for how long.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    /// The components, without the domain that they are under.
    pub(crate) names: Vec<String>,
    pub(crate) groups: Vec<Group>,
    pub(crate) payload: Payload,
    /// Seconds measured, after a fifth of it to warm up.
    pub(crate) seconds: f64,
}

/// Flows that are driven and measured together.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) name: &'static str,
    /// From which component to which, by their places in [`Work::names`].
    pub(crate) flows: Vec<(usize, usize)>,
    pub(crate) pace: Pace,
}

impl Topology {
    /// The components' names, `n` senders or, fanning out, receivers.
    pub(crate) fn names(self, n: usize) -> Vec<String> {
        let (senders, receivers) = match self {
            Self::Pairs => (n, n),
            Self::FanIn => (n, 1),
            Self::FanOut => (1, n),
            Self::Mesh => (n, 0),
        };
        (0..senders).map(|i| format!("a{i}")).chain((0..receivers).map(|i| format!("b{i}"))).collect()
    }

    fn flows(self, n: usize) -> Vec<(usize, usize)> {
        match self {
            Self::Pairs => (0..n).map(|i| (i, n + i)).collect(),
            Self::FanIn => (0..n).map(|i| (i, n)).collect(),
            Self::FanOut => (0..n).map(|i| (0, 1 + i)).collect(),
            Self::Mesh => (0..n).flat_map(|i| (0..n).filter(move |j| *j != i).map(move |j| (i, j))).collect(),
        }
    }

    /// One group of all the flows.
    pub(crate) fn work(self, n: usize, pace: Pace, payload: Payload, seconds: f64) -> Work {
        let group = Group { name: "all", flows: self.flows(n), pace };
        Work { names: self.names(n), groups: vec![group], payload, seconds }
    }
}

impl Work {
    /// Says what is too much, before anything is opened.
    pub(crate) fn check(&self) -> io::Result<()> {
        let flows: usize = self.groups.iter().map(|group| group.flows.len()).sum();
        let windows: usize = self
            .groups
            .iter()
            .map(|group| match group.pace {
                Pace::Closed { window } => group.flows.len().saturating_mul(window),
                Pace::InTurn { outstanding } => outstanding,
                Pace::Open { .. } => 0,
            })
            .sum();
        let outstanding = windows.saturating_mul(self.payload.longest() + 100);
        let fault = if flows == 0 {
            String::from("nobody sends: a mesh needs two components, the others one")
        } else if flows > MOST_FLOWS {
            format!("{flows} flows are more than {MOST_FLOWS}: take fewer components")
        } else if outstanding > MOST_OUTSTANDING {
            format!(
                "{outstanding} bytes would be outstanding, more than {MOST_OUTSTANDING}: take a smaller window"
            )
        } else {
            return Ok(());
        };
        Err(io::Error::new(io::ErrorKind::InvalidInput, fault))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_topology_joins_whom_it_says() {
        let joined = |topology: Topology, n| {
            let names = topology.names(n);
            let flow = |(from, to): (usize, usize)| format!("{}>{}", names[from], names[to]);
            topology.flows(n).into_iter().map(flow).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(joined(Topology::Pairs, 2), "a0>b0 a1>b1");
        assert_eq!(joined(Topology::FanIn, 2), "a0>b0 a1>b0");
        assert_eq!(joined(Topology::FanOut, 2), "a0>b0 a0>b1");
        assert_eq!(joined(Topology::Mesh, 3), "a0>a1 a0>a2 a1>a0 a1>a2 a2>a0 a2>a1");
    }

    #[test]
    fn too_much_is_refused_and_says_what_to_do() {
        let fault = |topology: Topology, n, window| {
            let work = topology.work(n, Pace::Closed { window }, Payload::body(1000), 1.0);
            work.check().map_err(|error| error.to_string())
        };
        assert_eq!(fault(Topology::Pairs, 8, 64), Ok(()));
        assert!(fault(Topology::Mesh, 1, 1).unwrap_err().contains("nobody sends"));
        assert!(fault(Topology::Mesh, 300, 1).unwrap_err().contains("take fewer"));
        assert!(fault(Topology::Pairs, 8, 1_000_000).unwrap_err().contains("smaller window"));
    }
}
