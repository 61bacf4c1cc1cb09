//! Times what the cores do over and over.

use bench::operations;
use criterion::{Criterion, criterion_group, criterion_main};

fn cores(criterion: &mut Criterion) {
    for operation in operations() {
        let mut work = (operation.prepare)();
        criterion.bench_function(operation.name, |bencher| bencher.iter(&mut work));
    }
}

criterion_group! {
    name = benches;
    // There are many of them, and instructions are counted besides.
    config = Criterion::default()
        .warm_up_time(std::time::Duration::from_millis(500))
        .measurement_time(std::time::Duration::from_secs(2));
    targets = cores
}
criterion_main!(benches);
