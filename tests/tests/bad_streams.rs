//! Every case of `enjamb-probe` against the real server, over sockets: as it is written, in one-byte writes, and in
//! random cuts.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use enjamb_probe::cuts::Cut;
use enjamb_probe::{Case, Observed, Verdict, scripts, streams};
use enjamb_tests::bad_streams::{setting, stage};

/// Cases whose answer may lie outside their `expect`, each with the reason.
const EXCEPTIONS: &[(&str, &str)] = &[];

/// Servers, each with a thread that plays cases against it; most of the time they wait for what must not come.
const SERVERS: usize = 8;

/// The least share of cases, in percent, that get the best outcome and not merely an accepted one.
const BEST_PERCENT: usize = 95;

fn played(cases: &[Case], cut: impl Fn(usize) -> Cut + Sync) -> Vec<(&Case, Observed)> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..SERVERS {
            scope.spawn(|| {
                let server = setting().start();
                let mut stage = stage(server.addr(0));
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(case) = cases.get(index) else { break };
                    let observed = stage.play(case, &cut(index)).expect("the server accepts");
                    let observed = observed.expect("the setting has every name");
                    done.lock().expect("no player panics while it holds the lock").push((case, observed));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("all players are done");
    done.sort_by_key(|(case, _)| &case.id);
    done
}

fn judge(cut: impl Fn(usize) -> Cut + Sync) {
    let cases = streams();
    assert_eq!(cases.len(), 354);
    let results = played(&cases, cut);
    assert_eq!(results.len(), cases.len());

    let mut faults = Vec::new();
    let mut best = 0;
    for (case, observed) in &results {
        let verdict = case.verdict(observed);
        if verdict == Verdict::Best {
            best += 1;
        } else {
            println!("{} {}: best {}, was {observed}", case.id, case.name, case.best);
        }
        let excepted = EXCEPTIONS.iter().find(|(id, _)| *id == case.id);
        match (verdict == Verdict::Outside, excepted) {
            (true, None) => {
                faults.push(format!("{} {}: {:?}, was {observed}", case.id, case.name, case.expect));
            }
            (false, Some((id, reason))) => faults.push(format!("{id} is no exception any more: {reason}")),
            (false, None) | (true, Some(_)) => {}
        }
    }
    println!("{best} of {} cases got the best outcome", results.len());
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    assert!(best * 100 >= results.len() * BEST_PERCENT, "only {best} got the best outcome");
}

#[test]
fn every_case_gets_an_answer_that_its_rule_accepts() {
    judge(|_| Cut::Whole);
}

#[test]
fn every_case_gets_such_an_answer_in_one_byte_writes() {
    judge(|_| Cut::Every(1));
}

#[test]
fn every_case_gets_such_an_answer_in_random_cuts() {
    judge(|index| Cut::Random(index as u64 + 1));
}

#[test]
fn every_script_gets_the_best_answer() {
    let server = setting().start();
    let mut stage = stage(server.addr(0));
    for script in scripts() {
        let answer = script.play(&mut stage).expect("the server accepts").expect("there is a receiver");
        assert_eq!(answer.verdict, Verdict::Best, "{script:?}: {}", answer.said);
    }
}
