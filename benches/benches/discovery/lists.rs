//! Reading a list of 1,000 instances and finding out what changed in it.

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion};
use mesh_consul::health::{Vantage, decode};
use mesh_core::service::ServiceName;
use mesh_core::snapshot::Snapshot;

const INSTANCES: usize = 1_000;

pub(crate) fn measure(criterion: &mut Criterion) {
    let service: ServiceName = "web".parse().expect("a name");
    let (old, new) = (body(false), body(true));
    let before = decode(&service, old.as_bytes(), Vantage::Local).expect("a list").snapshot;
    let after = decode(&service, new.as_bytes(), Vantage::Local).expect("a list").snapshot;
    assert_eq!((before.len(), after.len()), (INSTANCES, INSTANCES));
    assert_eq!(Snapshot::diff(&before, &after).changed.len(), 1);

    let mut group = criterion.benchmark_group("discovery");
    let id = |subject: &str| BenchmarkId::new(subject, format!("{INSTANCES}/1"));
    group.bench_function(id("mesh/decode-diff"), |bencher| {
        bencher.iter(|| {
            let listing = decode(&service, black_box(new.as_bytes()), Vantage::Local).expect("a list");
            black_box(Snapshot::diff(&before, &listing.snapshot))
        });
    });
    group.bench_function(id("floor/serde_json-value"), |bencher| {
        bencher.iter(|| serde_json::from_slice::<serde_json::Value>(black_box(new.as_bytes())).expect("JSON"));
    });
    group.finish();
}

/// A list as a 1.8.7 agent writes it; with the last instance critical, if that is wanted.
fn body(critical: bool) -> String {
    let mut body = String::from("[");
    for number in 0..INSTANCES {
        let status = if critical && number + 1 == INSTANCES { "critical" } else { "passing" };
        let separator = if number == 0 { "" } else { "," };
        let (high, low) = (number / 250, number % 250);
        let written = write!(
            body,
            r#"{separator}{{"Node":{{"ID":"b29b8661-4070-effa-00ed-6e20b5ae33c6","Node":"node-{number}","Address":"10.0.{high}.{low}","Datacenter":"dc1","TaggedAddresses":{{"lan":"10.0.{high}.{low}","wan":"10.0.{high}.{low}"}},"Meta":{{"consul-network-segment":""}},"CreateIndex":10,"ModifyIndex":12}},"Service":{{"ID":"web-{number}","Service":"web","Tags":["v1","primary"],"Address":"10.0.{high}.{low}","TaggedAddresses":{{"lan_ipv4":{{"Address":"10.0.{high}.{low}","Port":8080}},"wan_ipv4":{{"Address":"10.0.{high}.{low}","Port":8080}}}},"Meta":{{"version":"1.2.3","zone":"eu-1a"}},"Port":8080,"Weights":{{"Passing":10,"Warning":1}},"EnableTagOverride":false,"Proxy":{{"MeshGateway":{{}},"Expose":{{}}}},"Connect":{{}},"CreateIndex":14,"ModifyIndex":14}},"Checks":[{{"Node":"node-{number}","CheckID":"serfHealth","Name":"Serf Health Status","Status":"passing","Notes":"","Output":"Agent alive and reachable","ServiceID":"","ServiceName":"","ServiceTags":[],"Type":"","Definition":{{}},"CreateIndex":10,"ModifyIndex":10}},{{"Node":"node-{number}","CheckID":"service:web-{number}","Name":"Service 'web' check","Status":"{status}","Notes":"","Output":"HTTP GET http://10.0.{high}.{low}:8080/health: 200 OK Output: fine","ServiceID":"web-{number}","ServiceName":"web","ServiceTags":["v1","primary"],"Type":"http","Definition":{{}},"CreateIndex":14,"ModifyIndex":15}}]}}"#
        );
        written.expect("a String takes everything");
    }
    body.push(']');
    body
}
