//! The floor: the steady model as a bare loop over the standard library's heap.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use mesh_benches::timing::WyRand;

use crate::Outcome;

/// A server: who waits, by the times of their arrivals.
#[derive(Clone, Debug, Default)]
struct Server {
    inside: u32,
    waiting: VecDeque<u64>,
    serving: u64,
}

pub(crate) fn run(servers: usize, requests: u64) -> Outcome {
    let mut rng = WyRand::new(1);
    let mut fleet = vec![Server::default(); servers];
    // The time, the sequence and the server of each departure, in one word of 128 bits.
    let mut departures: BinaryHeap<Reverse<u128>> = BinaryHeap::new();
    let gap = 10e6 / (0.9 * servers as f64);
    let (mut made, mut arrived, mut sum, mut longest) = (0_u64, 0_u64, 0_u128, 0_u64);
    let mut arrival = (gap * exponential(&mut rng)) as u64;
    let mut depart = |departures: &mut BinaryHeap<Reverse<u128>>, at: u64, server: usize| {
        made += 1;
        departures.push(Reverse((u128::from(at) << 64) | (u128::from(made) << 24) | server as u128));
    };
    loop {
        let next = departures.peek().map_or(u64::MAX, |Reverse(key)| (key >> 64) as u64);
        if arrived < requests && arrival <= next {
            let now = arrival;
            arrived += 1;
            arrival = now + (gap * exponential(&mut rng)) as u64;
            let server = choose(&fleet, &mut rng);
            let chosen = &mut fleet[server];
            chosen.inside += 1;
            if chosen.inside == 1 {
                chosen.serving = now;
                depart(&mut departures, now + (10e6 * exponential(&mut rng)) as u64, server);
            } else {
                chosen.waiting.push_back(now);
            }
        } else {
            let Some(Reverse(key)) = departures.pop() else { break };
            let (now, server) = ((key >> 64) as u64, (key & 0xFF_FFFF) as usize);
            let leaving = &mut fleet[server];
            leaving.inside -= 1;
            let latency = now - leaving.serving;
            sum += u128::from(latency);
            longest = longest.max(latency);
            if let Some(came) = leaving.waiting.pop_front() {
                leaving.serving = came;
                depart(&mut departures, now + (10e6 * exponential(&mut rng)) as u64, server);
            }
        }
    }
    std::hint::black_box(longest);
    Outcome { requests: arrived, mean_millis: sum as f64 / arrived as f64 / 1e6 }
}

/// The less loaded of two distinct servers.
fn choose(fleet: &[Server], rng: &mut WyRand) -> usize {
    let bits = rng.next_u64();
    let first = (((bits >> 32) * fleet.len() as u64) >> 32) as usize;
    let second = (((bits & 0xFFFF_FFFF) * (fleet.len() as u64 - 1)) >> 32) as usize;
    let second = second + usize::from(second >= first);
    if fleet[second].inside < fleet[first].inside { second } else { first }
}

/// A draw of the exponential law with mean 1.
pub(crate) fn exponential(rng: &mut WyRand) -> f64 {
    -libm::log(1.0 - (rng.next_u64() >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0))
}
