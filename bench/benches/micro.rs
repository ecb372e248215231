//! What the core costs by itself, by the clock: `cargo bench -p enjamb-bench`. On a machine that does other things as
//! well, `enjamb-bench instructions` tells more.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use enjamb_bench::micro;

fn cases(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("micro");
    for name in micro::ours().chain(micro::OTHERS) {
        let Some(mut case) = micro::case(name) else { panic!("{name} can't be set up") };
        group.throughput(Throughput::Bytes(case.bytes as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| assert!(case.exercise(), "{name} does not do what it is to do"));
        });
    }
    group.finish();
}

criterion_group!(benches, cases);
criterion_main!(benches);
