//! Every case of `data/bad-streams/` against the real server, over sockets.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use enjamb_tests::bad_streams::{Case, Observed, Stage, cases, setting};
use enjamb_tests::expat::Expat;

/// Cases whose answer may lie outside their `expect`, each with the reason.
const EXCEPTIONS: &[(&str, &str)] = &[];

/// Servers, each with a thread that plays cases against it.
const SERVERS: usize = 4;

/// The least share of cases, in percent, that get the best outcome and not merely an accepted one.
const BEST_PERCENT: usize = 95;

fn played(cases: &[Case]) -> Vec<(&Case, Observed)> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..SERVERS {
            scope.spawn(|| {
                let server = setting().start();
                let expat = Expat::start();
                let mut stage = Stage::new(server.addr(0), &expat);
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let observed = stage.play(case);
                    done.lock().expect("no player panics while it holds the lock").push((case, observed));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("all players are done");
    done.sort_by_key(|(case, _)| &case.id);
    done
}

#[test]
fn every_case_gets_an_answer_that_its_rule_accepts() {
    let cases = cases();
    assert_eq!(cases.len(), 354);
    let results = played(&cases);
    assert_eq!(results.len(), cases.len());

    let excepted = |case: &Case| EXCEPTIONS.iter().find(|(id, _)| *id == case.id);
    let mut faults = Vec::new();
    let mut best = 0;
    for (case, observed) in &results {
        if case.is_best(observed) {
            best += 1;
        } else {
            println!("{} {}: best {}, was {observed}", case.id, case.name, case.best);
        }
        match (case.accepts(observed), excepted(case)) {
            (false, None) => {
                faults.push(format!("{} {}: {:?}, was {observed}", case.id, case.name, case.expect));
            }
            (true, Some((id, reason))) => faults.push(format!("{id} is no exception any more: {reason}")),
            (true, None) | (false, Some(_)) => {}
        }
    }
    println!("{best} of {} cases got the best outcome", results.len());
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    assert!(best * 100 >= results.len() * BEST_PERCENT, "only {best} got the best outcome");
}
